#include "millrace/text/jinja/markup.h"

#include "millrace/text/jinja/printing.h"

namespace millrace::jinja {
namespace {

std::string_view entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '\'':
      return "&#39;";
    case '"':
      return "&#34;";
    default:
      return "";
  }
}

}  // namespace

Text escape(Budget& budget, const Text& text) {
  if (text.markup) return text;
  TextBuilder out(budget);
  size_t at = 0;
  for (const Text::Run& run : text.runs()) {
    std::string piece;
    for (; at < run.end; ++at) {
      char c = text.bytes()[at];
      std::string_view escaped = entity(c);
      if (escaped.empty()) {
        piece += c;
      } else {
        piece += escaped;
      }
    }
    out.append(piece, run.origin);
  }
  Text result = out.finish();
  result.markup = true;
  return result;
}

Text escape(Budget& budget, const Value& value) {
  if (const Text* text = value.text()) return escape(budget, *text);
  return escape(budget, str(budget, value));
}

Text join_texts(Budget& budget, const Text& a, const Text& b) {
  TextBuilder out(budget);
  bool markup = a.markup || b.markup;
  out.append(markup ? escape(budget, a) : a);
  out.append(markup ? escape(budget, b) : b);
  Text result = out.finish();
  result.markup = markup;
  return result;
}

}  // namespace millrace::jinja
