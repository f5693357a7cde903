#include "millrace/text/jinja/string_format.h"

#include <algorithm>
#include <cmath>

#include "millrace/text/jinja/attributes.h"
#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/literals.h"
#include "millrace/text/jinja/markup.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"

namespace millrace::jinja {
namespace {

constexpr size_t kMaxWidth = 100'000;
constexpr size_t kMaxPrecision = 100;

/// How a value is to be shown, of either notation.
struct Spec {
  std::string_view fill = " ";
  char align = '\0';  ///< < > ^, or = for padding after the sign
  char sign = '-';
  bool alternate = false;
  char separator = '\0';  ///< between thousands
  size_t width = 0;
  std::optional<size_t> precision;
  char type = '\0';
};

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

size_t read_size(std::string_view text, size_t& at, size_t limit) {
  size_t value = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    value = value * 10 + static_cast<size_t>(text[at++] - '0');
    require(value <= limit, "a format asks for a width or precision over {}", limit);
  }
  return value;
}

/// Padding counts as data: a format that came from there may name the character.
void append_fill(TextBuilder& out, std::string_view fill, size_t times) {
  for (size_t i = 0; i < times; ++i) out.append(fill, Origin::kData);
}

/// Appends `body` filled up to the width; `prefix` is its sign and base, which '=' pads after.
void append_padded(TextBuilder& out, const Spec& spec, std::string_view prefix, const Text& body) {
  size_t length = prefix.size() + count_characters(body.bytes());
  size_t missing = spec.width > length ? spec.width - length : 0;
  size_t before = spec.align == '>' ? missing : spec.align == '^' ? missing / 2 : 0;
  size_t between = spec.align == '=' ? missing : 0;
  append_fill(out, spec.fill, before);
  out.append(prefix, Origin::kTemplate);
  append_fill(out, spec.fill, between);
  out.append(body);
  append_fill(out, spec.fill, missing - before - between);
}

std::string_view sign_of(const Spec& spec, bool negative) {
  if (negative) return "-";
  return spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
}

void insert_separators(std::string& digits, char separator) {
  size_t end = std::min(digits.find('.'), digits.size());
  for (size_t at = end; at > 3; at -= 3) digits.insert(at - 3, 1, separator);
}

std::string in_base(Integer magnitude, int base, bool upper) {
  std::string digits;
  do {
    digits += (upper ? "0123456789ABCDEF" : "0123456789abcdef")[static_cast<int>(magnitude % base)];
    magnitude /= base;
  } while (magnitude > 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

void append_integer(TextBuilder& out, Spec spec, Integer value) {
  std::string prefix(sign_of(spec, value < 0));
  int base = 10;
  if (spec.type == 'x' || spec.type == 'X') base = 16;
  if (spec.type == 'o') base = 8;
  if (spec.type == 'b') base = 2;
  // The smallest integer has no negative; it is one that no template meets.
  Integer magnitude = value < 0 ? -(value + 1) : value;
  require(magnitude < (Integer{1} << 120), "an integer is too large to format");
  if (value < 0) ++magnitude;
  std::string digits = in_base(magnitude, base, spec.type == 'X');
  if (spec.precision && digits.size() < *spec.precision) {
    digits.insert(0, *spec.precision - digits.size(), '0');
  }
  if (spec.separator != '\0') insert_separators(digits, spec.separator);
  if (spec.alternate && base != 10) {
    prefix += '0';
    prefix += spec.type;
  }
  if (spec.align == '\0') spec.align = '>';
  append_padded(out, spec, prefix, Text(std::move(digits), Origin::kTemplate));
}

std::string real_digits(const Spec& spec, double magnitude) {
  size_t precision = spec.precision.value_or(6);
  switch (spec.type) {
    case 'f':
    case 'F':
      return fmt::format("{:.{}f}", magnitude, precision);
    case 'e':
      return fmt::format("{:.{}e}", magnitude, precision);
    case 'E':
      return fmt::format("{:.{}E}", magnitude, precision);
    case 'g':
      return fmt::format("{:.{}g}", magnitude, precision);
    case 'G':
      return fmt::format("{:.{}G}", magnitude, precision);
    case '%':
      return fmt::format("{:.{}f}%", magnitude * 100, precision);
    default:
      return spec.precision ? fmt::format("{:.{}g}", magnitude, precision) : float_text(magnitude);
  }
}

void append_real(TextBuilder& out, Spec spec, double value) {
  std::string digits = real_digits(spec, std::fabs(value));
  if (spec.separator != '\0') insert_separators(digits, spec.separator);
  if (spec.align == '\0') spec.align = '>';
  append_padded(out, spec, sign_of(spec, std::signbit(value) && !std::isnan(value)),
                Text(std::move(digits), Origin::kTemplate));
}

void append_text(TextBuilder& out, Spec spec, const Text& text) {
  if (spec.align == '\0') spec.align = '<';
  if (!spec.precision) return append_padded(out, spec, "", text);
  Text cut;
  cut.append(text, 0, byte_of_character(text.bytes(), *spec.precision));
  append_padded(out, spec, "", cut);
}

bool is_integer_type(char type) {
  return is_one_of(type, "diuxXob");
}
bool is_real_type(char type) {
  return is_one_of(type, "eEfFgG%");
}

// "%…" % values

/// Hands out the values of a % operation one after another, or by name.
class PercentValues {
 public:
  explicit PercentValues(const Value& values) : values_(values) {
    const List* list = values.list();
    is_tuple_ = list != nullptr && list->kind == ListKind::kTuple;
  }

  const Value& next() {
    if (is_tuple_) {
      require(used_ < values_.list()->items.size(), "a format has too few values");
      return values_.list()->items[used_++];
    }
    require(used_ == 0, "a format has too few values");
    ++used_;
    return values_;
  }

  const Value& named(std::string_view name) {
    const Dict* dict = values_.dict();
    require(dict != nullptr, "a format with names needs a dictionary");
    used_ = 1;
    const Value* found = find(*dict, name);
    require(found != nullptr, "a format's dictionary has no {}", quote(name));
    return *found;
  }

  void check_all_used() const {
    bool is_container = values_.dict() != nullptr || values_.list() != nullptr;
    bool all = is_tuple_ ? used_ == values_.list()->items.size() : used_ == 1 || is_container;
    require(all, "a format has values left over");
  }

 private:
  const Value& values_;
  bool is_tuple_;
  size_t used_ = 0;
};

/// Reads flags, width, precision and type; `at` is behind them afterwards.
Spec read_percent_spec(std::string_view format, size_t& at) {
  Spec spec;
  for (; at < format.size() && is_one_of(format[at], "-+ #0"); ++at) {
    if (format[at] == '-') spec.align = '<';
    if (format[at] == '+') spec.sign = '+';
    if (format[at] == ' ' && spec.sign != '+') spec.sign = ' ';
    if (format[at] == '#') spec.alternate = true;
    if (format[at] == '0') spec.fill = "0";
  }
  spec.width = read_size(format, at, kMaxWidth);
  if (at < format.size() && format[at] == '.')
    spec.precision = read_size(format, ++at, kMaxPrecision);
  while (at < format.size() && is_one_of(format[at], "hlL")) ++at;
  require(at < format.size(), "a format ends within a % field");
  spec.type = format[at++];
  if (spec.align == '<') spec.fill = " ";
  if (spec.fill == "0") spec.align = '=';
  return spec;
}

void append_percent_field(Budget& budget, TextBuilder& out, Spec spec, const Value& value,
                          bool markup) {
  if (spec.type == 's' || spec.type == 'r' || spec.type == 'a') {
    spec.fill = " ";
    if (spec.align != '<') spec.align = '>';
    TextBuilder shown(budget);
    if (spec.type == 's') {
      append_str(budget, shown, value);
    } else {
      append_repr(budget, shown, value);
    }
    Text text = shown.finish();
    if (spec.type == 's' && value.text() != nullptr) text.markup = value.text()->markup;
    return append_text(out, spec, markup ? escape(budget, text) : text);
  }
  if (value.is_undefined()) fail_undefined(value);
  std::optional<double> real = as_real(value);
  require(real.has_value(), "the format {} needs a number, not a {}", quote({&spec.type, 1}),
          type_name(value));
  if (is_real_type(spec.type)) return append_real(out, spec, *real);
  require(is_integer_type(spec.type), "unknown format {}", quote({&spec.type, 1}));
  std::optional<Integer> integer = as_integer(value);
  if (!integer) {
    require(std::fabs(*real) < 1e30, "the format {} needs an integer", quote({&spec.type, 1}));
    integer = static_cast<Integer>(*real);
  }
  append_integer(out, spec, *integer);
}

// "{…}".format(values)

Spec read_brace_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  Character first = text.empty() ? Character{0, 1} : character_at(text, 0);
  if (first.length < text.size() && is_one_of(text[first.length], "<>^=")) {
    spec.fill = text.substr(0, first.length);
    spec.align = text[first.length];
    at = first.length + 1;
  } else if (!text.empty() && is_one_of(text[0], "<>^=")) {
    spec.align = text[at++];
  }
  if (at < text.size() && is_one_of(text[at], "+- ")) spec.sign = text[at++];
  if (at < text.size() && text[at] == '#') spec.alternate = ++at > 0;
  if (at < text.size() && text[at] == '0') {
    if (spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
    ++at;
  }
  spec.width = read_size(text, at, kMaxWidth);
  if (at < text.size() && is_one_of(text[at], ",_")) spec.separator = text[at++];
  if (at < text.size() && text[at] == '.') spec.precision = read_size(text, ++at, kMaxPrecision);
  if (at < text.size()) spec.type = text[at++];
  require(at == text.size(), "a format field has the wrong specification {}", quote(text));
  return spec;
}

/// One formatting by braces: fields may be numbered one by one or by hand.
class BraceFormatter {
 public:
  BraceFormatter(Environment& environment, const Text& format, const Arguments& arguments)
      : environment_(environment),
        format_(format),
        bytes_(format.bytes()),
        arguments_(arguments),
        out_(environment.budget) {}

  Value run() {
    for (size_t at = 0; at < bytes_.size();) {
      size_t brace = std::min(bytes_.find_first_of("{}", at), bytes_.size());
      out_.append(format_, at, brace);
      at = brace;
      if (at == bytes_.size()) break;
      if (at + 1 < bytes_.size() && bytes_[at + 1] == bytes_[at]) {
        out_.append(format_, at, at + 1);
        at += 2;
        continue;
      }
      size_t end = bytes_.find_first_of("{}", at + 1);
      require(bytes_[at] == '{' && end != std::string_view::npos && bytes_[end] == '}',
              "a format has a brace without its partner");
      field(bytes_.substr(at + 1, end - at - 1));
      at = end + 1;
    }
    Text result = out_.finish();
    result.markup = format_.markup;
    return result;
  }

 private:
  void field(std::string_view text) {
    size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    std::string_view spec = colon < text.size() ? text.substr(colon + 1) : "";
    char conversion = '\0';
    if (size_t mark = name.find('!'); mark != std::string_view::npos) {
      std::string_view letter = name.substr(mark + 1);
      require(letter == "s" || letter == "r", "a format has the unknown conversion {}",
              quote(letter));
      conversion = letter[0];
      name = name.substr(0, mark);
    }
    show(value_of(name), conversion, read_brace_spec(spec));
  }

  Value value_of(std::string_view name) {
    size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, end));
    while (end < name.size()) {
      bool bracket = name[end] == '[';
      size_t begin = end + 1;
      end = bracket ? name.find(']', begin) : name.find_first_of(".[", begin);
      require(!bracket || end != std::string_view::npos, "a format field has no ']'");
      end = std::min(end, name.size());
      std::string_view key = name.substr(begin, end - begin);
      std::optional<Integer> index = parse_integer(key, 10);
      value = !bracket ? get_attribute(environment_, value, key)
              : index  ? get_item(environment_, value, *index)
                       : get_item(environment_, value, Text(std::string(key), Origin::kTemplate));
      if (bracket) ++end;
    }
    return value;
  }

  const Value& argument(std::string_view name) {
    std::optional<Integer> index = parse_integer(name, 10);
    if (name.empty()) index = static_cast<Integer>(next_++);
    if (index) {
      auto count = static_cast<Integer>(arguments_.positional.size());
      require(*index >= 0 && *index < count, "a format has too few values");
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known == name) return value;
    }
    fail("a format has no value for {}", quote(name));
  }

  void show(const Value& value, char conversion, const Spec& spec) {
    Budget& budget = environment_.budget;
    bool as_number = value.is_number() && !value.is_bool() && conversion == '\0';
    if (as_number && is_real_type(spec.type)) return append_real(out_, spec, *as_real(value));
    if (as_number && value.real() != nullptr) return append_real(out_, spec, *value.real());
    if (as_number) return append_integer(out_, spec, *value.integer());
    TextBuilder shown(budget);
    if (conversion == 'r') {
      append_repr(budget, shown, value);
    } else {
      append_str(budget, shown, value);
    }
    Text text = shown.finish();
    if (conversion == '\0' && value.text() != nullptr) text.markup = value.text()->markup;
    require(spec.type == '\0' || spec.type == 's', "the format {} needs a number, not a {}",
            quote({&spec.type, 1}), type_name(value));
    append_text(out_, spec, format_.markup ? escape(budget, text) : text);
  }

  Environment& environment_;
  const Text& format_;
  std::string_view bytes_;
  const Arguments& arguments_;
  TextBuilder out_;
  size_t next_ = 0;
};

}  // namespace

Value format_percent(Budget& budget, const Text& format, const Value& values) {
  std::string_view bytes = format.bytes();
  PercentValues source(values);
  TextBuilder out(budget);
  for (size_t at = 0; at < bytes.size();) {
    size_t percent = std::min(bytes.find('%', at), bytes.size());
    out.append(format, at, percent);
    at = percent + 1;
    if (percent == bytes.size()) break;
    std::optional<std::string_view> name;
    if (at < bytes.size() && bytes[at] == '(') {
      size_t end = bytes.find(')', at);
      require(end != std::string_view::npos, "a format has a name without ')'");
      name = bytes.substr(at + 1, end - at - 1);
      at = end + 1;
    }
    Spec spec = read_percent_spec(bytes, at);
    if (spec.type == '%') {
      out.append("%", Origin::kTemplate);
    } else {
      append_percent_field(budget, out, spec, name ? source.named(*name) : source.next(),
                           format.markup);
    }
  }
  source.check_all_used();
  Text result = out.finish();
  result.markup = format.markup;
  return result;
}

Value format_braces(Environment& environment, const Text& format, const Arguments& arguments) {
  return BraceFormatter(environment, format, arguments).run();
}

}  // namespace millrace::jinja
