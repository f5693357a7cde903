// Variables, in scopes within scopes: a loop's body, a macro and a block each have their own.
//
// A name is looked up when it is read. Jinja decides beforehand which scope a name belongs to; that
// differs only where an inner block reads a name before the scope around it assigns it, which is
// undefined to Jinja even when the caller gave a variable of that name.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string_view, Value>> variables;  ///< names live in the syntax tree

  void set(std::string_view name, Value value) {
    for (auto& [known, old] : variables) {
      if (known == name) {
        old = std::move(value);
        return;
      }
    }
    variables.emplace_back(name, std::move(value));
  }

  /// The innermost variable of this name, or nullptr.
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
      for (const auto& [known, value] : scope->variables) {
        if (known == name) return &value;
      }
    }
    return nullptr;
  }
};

}  // namespace millrace::jinja
