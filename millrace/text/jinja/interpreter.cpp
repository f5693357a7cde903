#include "millrace/text/jinja/interpreter.h"

#include <algorithm>

#include "millrace/text/jinja/evaluator.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"

namespace millrace::jinja {
namespace {

/// How a statement ended.
enum class Flow { kNext, kBreak, kContinue };

/// Sets a variable for as long as it lives.
template <typename T>
class Restore {
 public:
  Restore(T& variable, T value) : variable_(variable), old_(std::exchange(variable, value)) {}
  ~Restore() { variable_ = std::move(old_); }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  T& variable_;
  T old_;
};

/// Makes a loop let go, at its end, of what may hold the loop itself.
class EndLoop {
 public:
  explicit EndLoop(Loop& loop) : loop_(loop) {}
  ~EndLoop() {
    loop_.seen = nullptr;
    loop_.recurse = nullptr;
  }
  EndLoop(const EndLoop&) = delete;
  EndLoop& operator=(const EndLoop&) = delete;

 private:
  Loop& loop_;
};

/// Executes statements.
class Interpreter : private Evaluator {
 public:
  Interpreter(Environment& environment, std::vector<std::pair<std::string, Value>> variables)
      : Evaluator(environment), variables_(std::move(variables)), page_(environment.budget) {
    for (const auto& [name, value] : variables_) scope_->set(name, value);
    scope_ = std::make_shared<Scope>(Scope{scope_, {}});
  }

  Rendering run(const Body& body) {
    execute(body);
    return {page_.finish(), std::move(generated_)};
  }

  using Evaluator::line;

 private:
  using Evaluator::apply;

  Flow execute(const Body& body);
  Flow visit(const PrintText& node);
  Flow visit(const PrintValue& node);
  Flow visit(const If& node);
  Flow visit(const For& node);
  Flow visit(const Set& node);
  Flow visit(const SetBlock& node);
  Flow visit(const FilterBlock& node);
  Flow visit(const With& node);
  Flow visit(const Macro& node);
  Flow visit(const CallBlock& node);
  Flow visit(const Generation& node);
  Flow visit(const Break&) { return Flow::kBreak; }
  Flow visit(const Continue&) { return Flow::kContinue; }

  void run_loop(const For& node, const Value& iterable, int level);
  std::shared_ptr<const List> loop_items(const For& node, const Value& iterable);
  void assign(const Target& target, const Value& value);
  void unpack(const Target& target, const Value& value);
  /// What the body writes, run in a scope of its own; the filters applied to it.
  Value capture(const Body& body, const std::vector<FilterCall>& filters, Flow& flow);
  std::shared_ptr<Scope> inner_scope() { return std::make_shared<Scope>(Scope{scope_, {}}); }

  Value make_macro(const MacroCode& code);
  Value call_macro(const MacroCode& code, const std::shared_ptr<Scope>& home,
                   const Arguments& arguments);
  /// Gives a macro's parameters their values in the current scope.
  void bind_parameters(const MacroCode& code, const Arguments& arguments);
  /// Gives varargs, kwargs and caller theirs. `used` tells which named arguments were parameters.
  void bind_special_names(const MacroCode& code, const Arguments& arguments,
                          const std::vector<bool>& used);

  std::vector<std::pair<std::string, Value>> variables_;
  TextBuilder page_;
  TextBuilder* out_ = &page_;
  std::vector<std::pair<size_t, size_t>> generated_;
  /// Scopes in which a macro was made. Macros point to them without owning them, so that a macro
  /// may be a variable of its own scope.
  std::vector<std::shared_ptr<Scope>> homes_;
};

Flow Interpreter::execute(const Body& body) {
  Budget::Level level(budget());
  for (const Statement& statement : body) {
    budget().spend(1);
    line_ = statement.line;
    Flow flow = std::visit([&](const auto& node) { return visit(node); }, statement.node);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Flow Interpreter::visit(const PrintText& node) {
  out_->append(*node.text.text());
  return Flow::kNext;
}

Flow Interpreter::visit(const PrintValue& node) {
  append_str(budget(), *out_, evaluate(*node.value));
  return Flow::kNext;
}

Flow Interpreter::visit(const If& node) {
  for (const Branch& branch : node.branches) {
    if (branch.test == nullptr || is_true(evaluate(*branch.test))) return execute(branch.body);
  }
  return Flow::kNext;
}

Flow Interpreter::visit(const For& node) {
  run_loop(node, evaluate(*node.iterable), 0);
  return Flow::kNext;
}

std::shared_ptr<const List> Interpreter::loop_items(const For& node, const Value& iterable) {
  Items items = iterate(budget(), iterable);
  if (node.filter == nullptr) return items.list();
  std::vector<Value> kept;
  for (const Value& item : items) {
    Restore<std::shared_ptr<Scope>> scope(scope_, inner_scope());
    assign(node.target, item);
    if (is_true(evaluate(*node.filter))) kept.push_back(item);
  }
  Value list = make_list(budget(), std::move(kept));
  return std::get<std::shared_ptr<const List>>(list.data);
}

void Interpreter::run_loop(const For& node, const Value& iterable, int level) {
  auto loop = std::make_shared<Loop>();
  loop->items = loop_items(node, iterable);
  loop->level = level;
  if (node.recursive) {
    loop->recurse = [this, &node, level](const Value& inner) {
      TextBuilder text(budget());
      Restore<TextBuilder*> out(out_, &text);
      run_loop(node, inner, level + 1);
      return Value(text.finish());
    };
  }
  EndLoop end(*loop);
  bool completed = false;  // one pass that no break or continue cut short: as Jinja counts for else
  for (size_t i = 0; i < loop->items->items.size(); ++i) {
    loop->index = i;
    budget().spend(1);
    Restore<std::shared_ptr<Scope>> scope(scope_, inner_scope());
    scope_->set("loop", loop);
    assign(node.target, loop->items->items[i]);
    Flow flow = execute(node.body);
    completed = completed || flow == Flow::kNext;
    if (flow == Flow::kBreak) break;
  }
  if (!completed && !node.otherwise.empty()) {
    Restore<std::shared_ptr<Scope>> scope(scope_, inner_scope());
    execute(node.otherwise);
  }
}

Flow Interpreter::visit(const Set& node) {
  assign(node.target, evaluate(*node.value));
  return Flow::kNext;
}

Value Interpreter::capture(const Body& body, const std::vector<FilterCall>& filters, Flow& flow) {
  Value value;
  {
    TextBuilder text(budget());
    Restore<TextBuilder*> out(out_, &text);
    Restore<std::shared_ptr<Scope>> scope(scope_, inner_scope());
    flow = execute(body);
    value = text.finish();
  }
  for (const FilterCall& filter : filters) value = apply(filter, value);
  return value;
}

Flow Interpreter::visit(const SetBlock& node) {
  Flow flow;
  Value value = capture(node.body, node.filters, flow);
  if (flow == Flow::kNext) assign(node.target, value);
  return flow;
}

Flow Interpreter::visit(const FilterBlock& node) {
  Flow flow;
  Value value = capture(node.body, node.filters, flow);
  if (flow == Flow::kNext) append_str(budget(), *out_, value);
  return flow;
}

Flow Interpreter::visit(const With& node) {
  std::shared_ptr<Scope> inner = inner_scope();
  std::vector<Value> values;
  for (const auto& assignment : node.assignments) values.push_back(evaluate(*assignment.second));
  Restore<std::shared_ptr<Scope>> scope(scope_, inner);
  for (size_t i = 0; i < values.size(); ++i) assign(node.assignments[i].first, values[i]);
  return execute(node.body);
}

Flow Interpreter::visit(const Generation& node) {
  Restore<std::shared_ptr<Scope>> scope(scope_, inner_scope());
  size_t begin = out_->size();
  execute(node.body);
  if (out_ == &page_ && page_.size() > begin) generated_.emplace_back(begin, page_.size());
  return Flow::kNext;
}

void Interpreter::unpack(const Target& target, const Value& value) {
  Items items = iterate(budget(), value);
  require(items.size() == target.items.size(), "cannot unpack {} values into {} names",
          items.size(), target.items.size());
  for (size_t i = 0; i < target.items.size(); ++i) assign(target.items[i], items[i]);
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (target.is_tuple) return unpack(target, value);
  if (target.member.empty()) return scope_->set(target.name, value);
  const Value* object = scope_->find(target.name);
  Namespace* space = object == nullptr ? nullptr : object->name_space();
  require(space != nullptr, "'{}' is not a namespace, so its member '{}' cannot be set",
          target.name, target.member);
  require(target.member[0] != '_', "a namespace cannot have a member '{}'", target.member);
  for (auto& [name, member] : space->members) {
    if (name == target.member) {
      member = value;
      return;
    }
  }
  space->members.emplace_back(target.member, value);
}

// Macros

Flow Interpreter::visit(const Macro& node) {
  scope_->set(node.code.name, make_macro(node.code));
  return Flow::kNext;
}

Flow Interpreter::visit(const CallBlock& node) {
  const auto& call_node = std::get<Call>(node.call->node);
  Value callee = evaluate(*call_node.callee);
  Arguments arguments = evaluate_arguments(call_node.arguments);
  arguments.named.emplace_back("caller", make_macro(node.caller));
  append_str(budget(), *out_, call(callee, arguments));
  return Flow::kNext;
}

Value Interpreter::make_macro(const MacroCode& code) {
  budget().spend(4);
  if (homes_.empty() || homes_.back() != scope_) homes_.push_back(scope_);
  std::weak_ptr<Scope> home = scope_;
  return make_function(code.name, [this, &code, home](const Arguments& arguments) {
    return call_macro(code, home.lock(), arguments);
  });
}

Value Interpreter::call_macro(const MacroCode& code, const std::shared_ptr<Scope>& home,
                              const Arguments& arguments) {
  TextBuilder text(budget());
  Restore<TextBuilder*> out(out_, &text);
  Restore<std::shared_ptr<Scope>> scope(scope_, std::make_shared<Scope>(Scope{home, {}}));
  bind_parameters(code, arguments);
  execute(code.body);
  return text.finish();
}

void Interpreter::bind_parameters(const MacroCode& code, const Arguments& arguments) {
  std::vector<bool> used(arguments.named.size(), false);
  std::vector<const Parameter*> missing;
  for (size_t i = 0; i < code.parameters.size(); ++i) {
    const Parameter& parameter = code.parameters[i];
    if (i < arguments.positional.size()) {
      scope_->set(parameter.name, arguments.positional[i]);
      continue;
    }
    auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                              [&](const auto& entry) { return entry.first == parameter.name; });
    if (named != arguments.named.end()) {
      scope_->set(parameter.name, named->second);
      used[static_cast<size_t>(named - arguments.named.begin())] = true;
    } else {
      missing.push_back(&parameter);
    }
  }
  bind_special_names(code, arguments, used);
  for (const Parameter* parameter : missing) {
    scope_->set(parameter->name, parameter->default_value != nullptr
                                     ? evaluate(*parameter->default_value)
                                     : Value::undefined(fmt::format(
                                           "parameter '{}' was not provided", parameter->name)));
  }
}

void Interpreter::bind_special_names(const MacroCode& code, const Arguments& arguments,
                                     const std::vector<bool>& used) {
  Value caller = Value::undefined("no caller is defined");
  std::vector<std::pair<Value, Value>> surplus;
  for (size_t i = 0; i < arguments.named.size(); ++i) {
    const auto& [name, value] = arguments.named[i];
    if (used[i]) continue;
    if (code.uses_caller && name == "caller") {
      caller = value;
    } else {
      require(code.uses_kwargs, "macro '{}' takes no argument {}", code.name, quote(name));
      insert(budget(), surplus, Text(name, arguments.names_origin), value);
    }
  }
  size_t taken = std::min(code.parameters.size(), arguments.positional.size());
  std::vector<Value> rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken),
                          arguments.positional.end());
  require(rest.empty() || code.uses_varargs, "macro '{}' takes at most {} arguments", code.name,
          code.parameters.size());
  bool takes_caller = std::any_of(code.parameters.begin(), code.parameters.end(),
                                  [](const Parameter& p) { return p.name == "caller"; });
  if (code.uses_caller && !takes_caller) scope_->set("caller", caller);
  if (code.uses_kwargs) scope_->set("kwargs", make_dict(budget(), std::move(surplus)));
  if (code.uses_varargs) scope_->set("varargs", make_tuple(budget(), std::move(rest)));
}

}  // namespace

Rendering render(const Body& body, std::string_view name, Environment& environment,
                 std::vector<std::pair<std::string, Value>> variables) {
  auto functions = global_functions(environment);
  variables.insert(variables.begin(), functions.begin(), functions.end());
  Interpreter interpreter(environment, std::move(variables));
  try {
    return interpreter.run(body);
  } catch (const Error& error) {
    fail("{}, line {}: {}", name, interpreter.line(), error.what());
  }
}

}  // namespace millrace::jinja
