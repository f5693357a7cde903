#include "millrace/text/jinja/evaluator.h"

#include "millrace/text/jinja/arithmetic.h"
#include "millrace/text/jinja/attributes.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"

namespace millrace::jinja {

Value Evaluator::evaluate(const Expr& expr) {
  Budget::Level level(budget());
  budget().spend(1);
  line_ = expr.line;
  return std::visit([&](const auto& node) { return visit(node); }, expr.node);
}

Value Evaluator::evaluate_optional(const ExprPtr& expr) {
  return expr == nullptr ? Value() : evaluate(*expr);
}

Arguments Evaluator::evaluate_arguments(const CallArguments& arguments) {
  Arguments values;
  for (const ExprPtr& expr : arguments.positional) values.positional.push_back(evaluate(*expr));
  for (const auto& [name, expr] : arguments.named) values.named.emplace_back(name, evaluate(*expr));
  if (arguments.star != nullptr) {
    Items items = iterate(budget(), evaluate(*arguments.star));
    budget().spend(items.size());
    values.positional.insert(values.positional.end(), items.begin(), items.end());
  }
  if (arguments.double_star != nullptr) {
    Value mapping = evaluate(*arguments.double_star);
    require(mapping.dict() != nullptr, "'**' needs a dictionary, not a {}", type_name(mapping));
    values.names_origin = Origin::kData;
    for (const auto& [key, value] : mapping.dict()->entries) {
      budget().spend(1);
      values.named.emplace_back(text_argument(key, "the name of an argument").bytes(), value);
    }
  }
  return values;
}

Value Evaluator::apply(const FilterCall& filter, const Value& input) {
  Arguments arguments = evaluate_arguments(filter.arguments);
  budget().spend(1);
  line_ = filter.line;
  return apply_filter(environment_, filter.name, input, arguments);
}

Value Evaluator::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) fail_undefined(callee);
  if (const Loop* loop = callee.loop()) {
    require(loop->recurse != nullptr, "only a loop that is marked 'recursive' can be called");
    return loop->recurse(*bind(arguments, "loop", {"iterable"}, 1)[0]);
  }
  require(callee.function() != nullptr, "a {} cannot be called", type_name(callee));
  return callee.function()->call(arguments);
}

Value Evaluator::visit(const Name& node) {
  if (const Value* found = scope_->find(node.name)) return *found;
  return Value::undefined(fmt::format("'{}' is undefined", node.name));
}

Value Evaluator::visit(const ListLiteral& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExprPtr& item : node.items) items.push_back(evaluate(*item));
  return make_list(budget(), std::move(items), node.kind);
}

Value Evaluator::visit(const DictLiteral& node) {
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key, value] : node.entries) {
    Value evaluated_key = evaluate(*key);
    insert(budget(), entries, std::move(evaluated_key), evaluate(*value));
  }
  return make_dict(budget(), std::move(entries));
}

Value Evaluator::visit(const Attribute& node) {
  return get_attribute(environment_, evaluate(*node.object), node.name);
}

Value Evaluator::visit(const Subscript& node) {
  Value object = evaluate(*node.object);
  const auto* slice = std::get_if<Slice>(&node.index->node);
  if (slice == nullptr) return get_item(environment_, object, evaluate(*node.index));
  Value start = evaluate_optional(slice->start);
  Value stop = evaluate_optional(slice->stop);
  return get_slice(environment_, object, start, stop, evaluate_optional(slice->step));
}

Value Evaluator::visit(const Slice&) {
  fail("a slice cannot stand among several indices");
}

Value Evaluator::visit(const Call& node) {
  int line = line_;
  Value callee = evaluate(*node.callee);
  Arguments arguments = evaluate_arguments(node.arguments);
  line_ = line;
  return call(callee, arguments);
}

Value Evaluator::visit(const Filter& node) {
  return apply(node.call, evaluate(*node.input));
}

Value Evaluator::visit(const Test& node) {
  int line = line_;
  Value input = evaluate(*node.input);
  Arguments arguments = evaluate_arguments(node.arguments);
  line_ = line;
  return apply_test(environment_, node.name, input, arguments);
}

Value Evaluator::visit(const Unary& node) {
  Value operand = evaluate(*node.operand);
  if (node.op == UnaryOp::kNot) return !is_true(operand);
  if (node.op == UnaryOp::kNegate) return negate(operand);
  return negate(negate(operand));  // unary plus: the same kinds, the same errors
}

Value Evaluator::visit(const Binary& node) {
  int line = line_;
  Value left = evaluate(*node.left);
  Value right = evaluate(*node.right);
  line_ = line;
  return calculate(budget(), node.op, left, right);
}

Value Evaluator::visit(const Comparison& node) {
  int line = line_;
  Value left = evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) {
    Value right = evaluate(*operand);
    line_ = line;
    if (!compare(budget(), op, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::visit(const Concat& node) {
  TextBuilder out(budget());
  for (const ExprPtr& part : node.parts) append_str(budget(), out, evaluate(*part));
  return out.finish();
}

Value Evaluator::visit(const Logical& node) {
  Value left = evaluate(*node.left);
  return is_true(left) == node.is_and ? evaluate(*node.right) : left;
}

Value Evaluator::visit(const Conditional& node) {
  if (is_true(evaluate(*node.test))) return evaluate(*node.then);
  if (node.otherwise != nullptr) return evaluate(*node.otherwise);
  return Value::undefined("a conditional expression is false and has no 'else'");
}

}  // namespace millrace::jinja
