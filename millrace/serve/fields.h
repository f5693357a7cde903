// The fields of a request's body: read once each, with their bounds, and accounted for.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/serve/api_error.h"

namespace millrace::serve {

/// Reads one JSON object. A field that is missing or null gives nullopt (null); one of a wrong
/// type or out of its bounds throws ApiError 400 with its path. Not for several threads.
class Fields {
 public:
  /// `path` is where the object stands in the body ("messages[2]"); empty for the body itself.
  /// `object` must outlive this.
  explicit Fields(const Json& object, std::string path = {});

  std::optional<std::string> text(const char* name);
  std::optional<bool> boolean(const char* name);
  /// A whole number, 3 or 3.0, in [low, high].
  std::optional<int64_t> integer(const char* name, int64_t low, int64_t high);
  /// A number in [low, high]; NaN never is.
  std::optional<double> number(const char* name, double low, double high);
  /// One of the given words.
  std::optional<std::string> one_of(const char* name, std::initializer_list<const char*> words);
  const Json* array(const char* name);
  const Json* object(const char* name);
  const Json* any(const char* name);

  std::string required_text(const char* name);
  const Json& required_array(const char* name);
  const Json& required_object(const char* name);

  /// Known fields that do not change the answer here.
  void accept(std::initializer_list<const char*> names);
  /// A known field that would change the answer and is not supported: 400 when it is there and
  /// not `harmless` (null, false, "none" and empty ones always are).
  void refuse(const char* name, std::string_view why, const Json& harmless = nullptr);

  /// "messages[2].content" for the field `name` of this object.
  std::string path_of(std::string_view name) const;
  /// Fields that nobody asked for, by path.
  std::vector<std::string> unread() const;

 private:
  const Json* find(const char* name);

  const Json& object_;
  std::string path_;
  std::set<std::string, std::less<>> read_;
};

/// The body as an object. Throws ApiError 400 when it is none.
Json parse_body(std::string_view body);

}  // namespace millrace::serve
