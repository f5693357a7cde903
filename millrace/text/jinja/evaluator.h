// The state of a running template; expressions are evaluated in evaluator.cpp, statements executed
// in interpreter.cpp.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "millrace/text/jinja/ast.h"
#include "millrace/text/jinja/environment.h"
#include "millrace/text/jinja/scope.h"

namespace millrace::jinja {

/// Evaluates expressions in the current scope.
class Evaluator {
 public:
  explicit Evaluator(Environment& environment)
      : environment_(environment), scope_(std::make_shared<Scope>()) {}

  Value evaluate(const Expr& expr);
  Arguments evaluate_arguments(const CallArguments& arguments);
  Value apply(const FilterCall& filter, const Value& input);
  Value call(const Value& callee, const Arguments& arguments);

  /// The line of the node that was evaluated last: where an error happened.
  int line() const { return line_; }

 protected:
  Budget& budget() { return environment_.budget; }

  Environment& environment_;
  std::shared_ptr<Scope> scope_;
  int line_ = 1;

 private:
  Value evaluate_optional(const ExprPtr& expr);
  Value visit(const Constant& node) { return node.value; }
  Value visit(const Name& node);
  Value visit(const ListLiteral& node);
  Value visit(const DictLiteral& node);
  Value visit(const Attribute& node);
  Value visit(const Subscript& node);
  Value visit(const Slice& node);
  Value visit(const Call& node);
  Value visit(const Filter& node);
  Value visit(const Test& node);
  Value visit(const Unary& node);
  Value visit(const Binary& node);
  Value visit(const Comparison& node);
  Value visit(const Concat& node);
  Value visit(const Logical& node);
  Value visit(const Conditional& node);
};

}  // namespace millrace::jinja
