#include "millrace/text/jinja/tojson.h"

#include <algorithm>
#include <cmath>

#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"
#include "millrace/text/jinja/sorting.h"

namespace millrace::jinja {
namespace {

std::string escaped(uint32_t code, std::string_view bytes, bool ensure_ascii) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (code >= 0x20 && (code < 0x7F || !ensure_ascii)) return std::string(bytes);
  if (code < 0x20 || code < 0x10000) return fmt::format("\\u{:04x}", code);
  uint32_t offset = code - 0x10000;
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (offset >> 10), 0xDC00 + (offset & 0x3FF));
}

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonStyle& style)
      : budget_(budget), style_(style), out_(budget) {}

  Text run(const Value& value) {
    write(value);
    return out_.finish();
  }

 private:
  void add(std::string_view text) { out_.append(text, Origin::kTemplate); }

  void write(const Value& value) {
    Budget::Level level(budget_);
    const List* list = value.list();
    if (const Text* text = value.text()) {
      write(*text);
    } else if (list != nullptr &&
               (list->kind == ListKind::kList || list->kind == ListKind::kTuple)) {
      write(*list);
    } else if (const Dict* dict = value.dict()) {
      write(*dict);
    } else {
      add(scalar(value));
    }
  }

  /// What numbers, booleans and null look like, as values and as keys.
  static std::string scalar(const Value& value) {
    if (const Integer* integer = value.integer()) return integer_text(*integer);
    if (const bool* boolean = std::get_if<bool>(&value.data)) return *boolean ? "true" : "false";
    if (value.is_none()) return "null";
    const double* real = value.real();
    require(real != nullptr, "a {} has no form in JSON", type_name(value));
    if (std::isnan(*real)) return "NaN";
    if (std::isinf(*real)) return *real > 0 ? "Infinity" : "-Infinity";
    return float_text(*real);
  }

  void write(const Text& text) {
    add("\"");
    std::string_view bytes = text.bytes();
    size_t begin = 0;
    for (const Text::Run& run : text.runs()) {
      std::string piece;
      for_each_character(bytes.substr(begin, run.end - begin),
                         [&](uint32_t code, std::string_view character) {
                           piece += escaped(code, character, style_.ensure_ascii);
                         });
      out_.append(piece, run.origin);
      begin = run.end;
    }
    add("\"");
  }

  void new_line() {
    if (!style_.indent) return;
    add("\n");
    for (int i = 0; i < nesting_; ++i) out_.append(*style_.indent);
  }

  /// Before each item: a separator but for the first, and the line break.
  void begin_item(bool first) {
    if (!first) out_.append(style_.item_separator);
    new_line();
  }

  void write(const List& list) {
    if (list.items.empty()) return add("[]");
    add("[");
    ++nesting_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      begin_item(i == 0);
      write(list.items[i]);
    }
    --nesting_;
    new_line();
    add("]");
  }

  void write_key(const Value& key) {
    if (const Text* text = key.text()) {
      write(*text);
    } else {
      require(key.is_number() || key.is_none(), "a {} cannot be a key in JSON", type_name(key));
      write(Text(scalar(key), Origin::kTemplate));
    }
  }

  void write(const Dict& dict) {
    if (dict.entries.empty()) return add("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      merge_sort(entries, [&](const auto* a, const auto* b) {
        return is_less(budget_, a->first, b->first);
      });
    }
    add("{");
    ++nesting_;
    for (size_t i = 0; i < entries.size(); ++i) {
      begin_item(i == 0);
      write_key(entries[i]->first);
      out_.append(style_.key_separator);
      write(entries[i]->second);
    }
    --nesting_;
    new_line();
    add("}");
  }

  Budget& budget_;
  const JsonStyle& style_;
  TextBuilder out_;
  int nesting_ = 0;
};

constexpr Integer kMaxIndent = 1000;

Text indent_of(const Value& value) {
  if (const Text* text = value.text()) return *text;
  std::optional<Integer> width = as_integer(value);
  require(width.has_value(), "tojson(): indent must be an integer or a string");
  require(*width <= kMaxIndent, "tojson(): indent must be at most {}", integer_text(kMaxIndent));
  return Text(std::string(static_cast<size_t>(std::max<Integer>(*width, 0)), ' '),
              Origin::kTemplate);
}

}  // namespace

Text to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  return JsonWriter(budget, style).run(value);
}

Value tojson_filter(Budget& budget, const Value& value, const Arguments& arguments) {
  auto bound = bind(arguments, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  if (bound[0] != nullptr) style.ensure_ascii = is_true(*bound[0]);
  if (bound[1] != nullptr && !bound[1]->is_none()) {
    style.indent = indent_of(*bound[1]);
    style.item_separator = Text(",", Origin::kTemplate);
  }
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    Items separators = iterate(budget, *bound[2]);
    bool pair = separators.size() == 2 && separators[0].text() != nullptr &&
                separators[1].text() != nullptr;
    require(pair, "tojson(): separators must be two strings");
    style.item_separator = *separators[0].text();
    style.key_separator = *separators[1].text();
  }
  if (bound[3] != nullptr) style.sort_keys = is_true(*bound[3]);
  return to_json(budget, value, style);
}

}  // namespace millrace::jinja
