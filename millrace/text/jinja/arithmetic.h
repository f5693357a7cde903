// The operators + - * / // % ** and unary minus, on numbers, texts and lists.
#pragma once

#include "millrace/text/jinja/ast.h"
#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

/// Throws Error for kinds that do not go together, for division by zero, for integers that leave
/// 128 bits and for results too large for the budget.
Value calculate(Budget& budget, BinaryOp op, const Value& a, const Value& b);

Value negate(const Value& value);

}  // namespace millrace::jinja
