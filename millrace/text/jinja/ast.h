// A parsed template as plain data: expressions and statements.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         ///< *expression, or null
  ExprPtr double_star;  ///< **expression, or null
};

/// `| name(arguments)`, also as {% filter name(arguments) %}.
struct FilterCall {
  int line;
  std::string name;
  CallArguments arguments;
};

enum class UnaryOp { kNegate, kPlus, kNot };
enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct Constant {
  Value value;
};
struct Name {
  std::string name;
};
struct ListLiteral {
  std::vector<ExprPtr> items;
  ListKind kind;
};
struct DictLiteral {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
struct Attribute {  ///< object.name
  ExprPtr object;
  std::string name;
};
struct Subscript {  ///< object[index]
  ExprPtr object;
  ExprPtr index;
};
struct Slice {  ///< [start:stop:step] as an index; each may be null
  ExprPtr start, stop, step;
};
struct Call {
  ExprPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExprPtr input;
  FilterCall call;
};
struct Test {  ///< input is name(arguments)
  ExprPtr input;
  std::string name;
  CallArguments arguments;
};
struct Unary {
  UnaryOp op;
  ExprPtr operand;
};
struct Binary {
  BinaryOp op;
  ExprPtr left, right;
};
struct Comparison {  ///< first op operand op operand …, each pair compared
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct Concat {  ///< a ~ b ~ …
  std::vector<ExprPtr> parts;
};
struct Logical {  ///< and, or
  bool is_and;
  ExprPtr left, right;
};
struct Conditional {  ///< then if test else otherwise; otherwise may be null
  ExprPtr test, then, otherwise;
};

struct Expr {
  int line;
  std::variant<Constant, Name, ListLiteral, DictLiteral, Attribute, Subscript, Slice, Call, Filter,
               Test, Unary, Binary, Comparison, Concat, Logical, Conditional>
      node;
};

/// What {% set %}, {% for %} and {% with %} assign to: a name, a member of a namespace, or a tuple
/// of targets.
struct Target {
  std::string name;
  std::string member;         ///< not empty: name.member
  std::vector<Target> items;  ///< not empty, or is_tuple: unpacking
  bool is_tuple = false;
};

struct Statement;
using Body = std::vector<Statement>;

struct Parameter {
  std::string name;
  ExprPtr default_value;  ///< or null
};

/// The parameters and body of a {% macro %} or {% call %}.
struct MacroCode {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_varargs = false;  ///< the body names `varargs`: it takes surplus arguments
  bool uses_kwargs = false;
  bool uses_caller = false;
};

struct PrintText {
  Value text;
};
struct PrintValue {
  ExprPtr value;
};
struct Branch {
  ExprPtr test;  ///< null for else
  Body body;
};
struct If {
  std::vector<Branch> branches;
};
struct For {
  Target target;
  ExprPtr iterable;
  ExprPtr filter;  ///< for … if filter, or null
  bool recursive;
  Body body;
  Body otherwise;
};
struct Set {
  Target target;
  ExprPtr value;
};
struct SetBlock {  ///< {% set target | filters %}body{% endset %}
  Target target;
  std::vector<FilterCall> filters;
  Body body;
};
struct FilterBlock {
  std::vector<FilterCall> filters;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Body body;
};
struct Macro {
  MacroCode code;
};
struct CallBlock {  ///< {% call(parameters) callee(arguments) %}body{% endcall %}
  MacroCode caller;
  ExprPtr call;
};
struct Generation {  ///< {% generation %}: the assistant's own words, as transformers marks them
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<PrintText, PrintValue, If, For, Set, SetBlock, FilterBlock, With, Macro, CallBlock,
               Generation, Break, Continue>
      node;
};

}  // namespace millrace::jinja
