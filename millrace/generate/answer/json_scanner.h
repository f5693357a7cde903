// Checks JSON text a byte at a time, so that a model's arguments can be passed on while they come.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

/// Where one JSON value (RFC 8259) ends, and whether it is one. Constant work for each byte; values
/// nested deeper than 100 are none. Two liberties that models need: control characters in strings
/// are taken (see append_json_byte), and bytes of strings are not checked to be UTF-8.
class JsonScanner {
 public:
  enum class Step : uint8_t {
    more,   ///< taken, the value goes on
    done,   ///< taken, the value is complete
    after,  ///< not taken: the value, a number, was complete before
    bad,    ///< not taken: this is no JSON
  };

  Step step(char byte);
  /// Inside a string, where any text is part of the value.
  bool in_string() const { return state_ == State::string || state_ == State::escape; }

 private:
  enum class State : uint8_t {
    value,      // a value, or in a new array its end
    first_key,  // a key or the object's end
    key,        // a key
    colon,
    comma_or_end,
    string,
    escape,
    unicode,
    minus,
    zero,
    digits,
    point,
    fraction,
    exponent,
    exponent_sign,
    exponent_digits,
    word,
  };

  Step value(char byte);
  Step number(char byte);
  Step close(char open);
  Step complete();

  State state_ = State::value;
  bool is_key_ = false;     // the string being read
  bool may_close_ = false;  // `]` may come instead of a value
  int left_ = 0;            // hexadecimal digits
  std::string_view word_;   // what is left of true, false or null
  std::string open_;        // the brackets around here
};

/// Adds a byte that the scanner took to JSON text, control characters in strings as escapes.
/// `in_string` is the scanner's from before the byte.
void append_json_byte(std::string& text, char byte, bool in_string);

/// Text as the inside of a JSON string.
void append_json_escaped(std::string& text, std::string_view raw);

}  // namespace millrace
