#include "millrace/text/jinja/printing.h"

#include <charconv>
#include <cmath>

#include "millrace/text/jinja/characters.h"

namespace millrace::jinja {
namespace {

/// The quote that Python chooses: single, unless the text has single ones and no double ones.
char quote_for(std::string_view bytes) {
  bool single = bytes.find('\'') != std::string_view::npos;
  return single && bytes.find('"') == std::string_view::npos ? '"' : '\'';
}

std::string escaped_for_repr(uint32_t code, std::string_view bytes, char quote) {
  if (code == static_cast<uint32_t>(quote) || code == '\\') return {'\\', static_cast<char>(code)};
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  if (code == '\t') return "\\t";
  if (is_printable(code)) return std::string(bytes);
  if (code < 0x100) return fmt::format("\\x{:02x}", code);
  if (code < 0x10000) return fmt::format("\\u{:04x}", code);
  return fmt::format("\\U{:08x}", code);
}

void append_quoted(TextBuilder& out, const Text& text) {
  char quote = quote_for(text.bytes());
  if (text.markup) out.append("Markup(", Origin::kTemplate);
  out.append(std::string_view(&quote, 1), Origin::kTemplate);
  size_t begin = 0;
  std::string_view bytes = text.bytes();
  for (const Text::Run& run : text.runs()) {
    std::string piece;
    for_each_character(bytes.substr(begin, run.end - begin),
                       [&](uint32_t code, std::string_view character) {
                         piece += escaped_for_repr(code, character, quote);
                       });
    out.append(piece, run.origin);
    begin = run.end;
  }
  out.append(std::string_view(&quote, 1), Origin::kTemplate);
  if (text.markup) out.append(")", Origin::kTemplate);
}

class Printer {
 public:
  Printer(Budget& budget, TextBuilder& out) : budget_(budget), out_(out) {}

  void repr(const Value& value) {
    Budget::Level level(budget_);
    if (const Text* text = value.text()) {
      append_quoted(out_, *text);
    } else if (const List* list = value.list()) {
      print(*list);
    } else if (const Dict* dict = value.dict()) {
      print(*dict);
    } else if (const Namespace* space = value.name_space()) {
      print(*space);
    } else if (const Loop* loop = value.loop()) {
      add(fmt::format("<LoopContext {}/{}>", loop->index + 1, loop->items->items.size()));
    } else if (const Function* function = value.function()) {
      add(fmt::format("<function {}>", function->name));
    } else {
      add(scalar(value));
    }
  }

 private:
  void add(std::string_view text) { out_.append(text, Origin::kTemplate); }

  static std::string scalar(const Value& value) {
    if (const Integer* integer = value.integer()) return integer_text(*integer);
    if (const double* real = value.real()) return float_text(*real);
    if (const bool* boolean = std::get_if<bool>(&value.data)) return *boolean ? "True" : "False";
    return value.is_none() ? "None" : "Undefined";
  }

  void print_items(const std::vector<Value>& items) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) add(", ");
      repr(items[i]);
    }
  }

  void print(const List& list) {
    switch (list.kind) {
      case ListKind::kGenerator:
        return add("<generator object>");
      case ListKind::kRange:
        return print_range(list);
      case ListKind::kTuple:
        add("(");
        print_items(list.items);
        return add(list.items.size() == 1 ? ",)" : ")");
      case ListKind::kList:
        add("[");
        print_items(list.items);
        return add("]");
      default:
        add(list.kind == ListKind::kKeys     ? "dict_keys(["
            : list.kind == ListKind::kValues ? "dict_values(["
                                             : "dict_items([");
        print_items(list.items);
        return add("])");
    }
  }

  void print_range(const List& list) {
    if (list.items.empty()) return add("range(0, 0)");
    Integer first = *list.items.front().integer();
    Integer step = list.items.size() > 1 ? *list.items[1].integer() - first : 1;
    std::string stop = integer_text(*list.items.back().integer() + step);
    add(step == 1
            ? fmt::format("range({}, {})", integer_text(first), stop)
            : fmt::format("range({}, {}, {})", integer_text(first), stop, integer_text(step)));
  }

  void print(const Dict& dict) {
    add("{");
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) add(", ");
      repr(dict.entries[i].first);
      add(": ");
      repr(dict.entries[i].second);
    }
    add("}");
  }

  void print(const Namespace& space) {
    add("<Namespace {");
    for (size_t i = 0; i < space.members.size(); ++i) {
      if (i > 0) add(", ");
      append_quoted(out_, Text(space.members[i].first, Origin::kData));
      add(": ");
      repr(space.members[i].second);
    }
    add("}>");
  }

  Budget& budget_;
  TextBuilder& out_;
};

}  // namespace

std::string integer_text(Integer number) {
  return fmt::format("{}", number);
}

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[32];
  auto scientific =
      std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(scientific.ptr - buffer));
  int exponent = 0;
  size_t e = text.find('e');
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(),
                  exponent);
  if (exponent < -4 || exponent >= 16) {
    // Python writes at least two digits of exponent, as C does.
    return std::string(text);
  }
  auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::fixed);
  std::string result(buffer, fixed.ptr);
  if (result.find('.') == std::string::npos) result += ".0";
  return result;
}

void append_repr(Budget& budget, TextBuilder& out, const Value& value) {
  Printer(budget, out).repr(value);
}

void append_str(Budget& budget, TextBuilder& out, const Value& value) {
  if (const Text* text = value.text()) {
    out.append(*text);
  } else if (!value.is_undefined()) {
    append_repr(budget, out, value);
  }
}

Text str(Budget& budget, const Value& value) {
  TextBuilder out(budget);
  append_str(budget, out, value);
  return out.finish();
}

Text soft_str(Budget& budget, const Value& value) {
  Text result = str(budget, value);
  if (const Text* text = value.text()) result.markup = text->markup;
  return result;
}

}  // namespace millrace::jinja
