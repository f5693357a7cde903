#include "millrace/text/special_tokens.h"

#include <unordered_set>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {

void check_special_tokens(std::span<const std::string> tokens,
                          std::initializer_list<std::string> with_a_part) {
  std::unordered_set<std::string> known;
  for (const std::string& token : tokens) {
    require(!token.empty() && is_utf8(token), "special tokens must be text, not {}", quote(token));
    require(known.insert(token).second, "special token {} is there twice", quote(token));
  }
  for (const std::string& token : with_a_part) {
    require(token.empty() || known.count(token) == 1, "{} is not one of the special tokens",
            quote(token));
  }
}

}  // namespace millrace
