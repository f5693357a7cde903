#include "millrace/train/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "millrace/base/file.h"
#include "millrace/train/plot_range.h"
#include "millrace/train/report.h"
#include "millrace/train/run_folder.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Whether every tag of an XML text is closed, in order.
bool is_balanced(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    size_t end = text.find('>', at);
    if (end == std::string::npos) return false;
    std::string tag = text.substr(at + 1, end - at - 1);
    std::string name = tag.substr(0, tag.find_first_of(" \n"));
    if (tag.back() == '/' || tag[0] == '!' || name == "meta") continue;
    if (tag[0] != '/') {
      open.push_back(name);
    } else if (open.empty() || "/" + open.back() != name) {
      return false;
    } else {
      open.pop_back();
    }
  }
  return open.empty();
}

TEST(Plot, TicksAreRoundNumbers) {
  EXPECT_EQ(axis_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(3.2, 9.1, 6), (std::vector<double>{4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(axis_ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(axis_ticks(2, 2, 4), std::vector<double>{2});
  EXPECT_EQ(tick_text(12000), "12k");
  EXPECT_EQ(tick_text(2500000), "2.5M");
  EXPECT_EQ(tick_text(0.002), "0.002");
  EXPECT_EQ(tick_text(3), "3");
}

TEST(Plot, TheMeanIsCentred) {
  EXPECT_EQ(centred_mean({1, 2, 3, 10, 3}, 3), (std::vector<double>{1, 2, 5, 16.0 / 3, 3}));
  EXPECT_EQ(centred_mean({}, 3), std::vector<double>{});
}

TEST(Plot, SvgSurvivesWhateverACurveHolds) {
  std::vector<Curve> curves = {{"none", {}, {}},
                               {"one", {3}, {4}},
                               {"flat", {1, 2}, {0, 0}},
                               {"holes", {0, 1, 2, kNan}, {1, kNan, INFINITY, 2}},
                               {"<b>&\"", {0, 1}, {1e30, -1e30}}};
  for (const Curve& curve : curves) {
    for (bool noisy : {false, true}) {
      Plot plot{"</svg><script>", "x", "y", {curve}};
      plot.curves[0].noisy = noisy;
      std::string svg = plot_svg(plot);
      EXPECT_TRUE(is_balanced(svg)) << svg;
      EXPECT_EQ(svg.find("nan"), std::string::npos);
      EXPECT_EQ(svg.find("inf"), std::string::npos);
      EXPECT_EQ(svg.find("<script"), std::string::npos);
      EXPECT_FALSE(plot_text(plot, 60, 12, true).empty());
      EXPECT_FALSE(plot_text(plot, 1, 1, false).empty());
    }
  }
}

TEST(Plot, LongCurvesStaySmallFiles) {
  Curve curve{"long", {}, {}};
  for (int i = 0; i < 100000; ++i) {
    curve.x.push_back(i);
    curve.y.push_back(std::sin(i));
  }
  EXPECT_LT(plot_svg({"t", "x", "y", {curve}}).size(), 40'000u);
}

TEST(Plot, AsciiTextIsDrawnDotByDot) {
  Plot plot{
      "t", "x", "y", {{"a", {0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1, 0}}, {"b", {0, 6}, {0, 6}}}};
  EXPECT_EQ(plot_text(plot, 39, 12, false),
            R"(t   . a 0   o b 6
       6 |...                        o
         |   ..
         |     ....
       4 |         .....
         |              ....
       2 |                  .....
         |                       ..
         |                         ..
       0 |o                          .
         +----------------------------
          0                      5
)");
}

std::vector<Json> example_log() {
  std::vector<Json> log;
  for (int step = 0; step < 10; ++step) {
    log.push_back({{"step", step},
                   {"loss", 5.0 - 0.1 * step},
                   {"lr", 0.01},
                   {"tokens", 100 * (step + 1)},
                   {"seconds", 8.0},
                   {"mfu", step < 5 ? 0.5 : 0.1}});
  }
  log.push_back({{"step", 9}, {"heldout_loss", 4.5}, {"heldout_bits_per_byte", 2.125}});
  log.push_back(
      {{"step", 9}, {"samples", Json::array({{{"prompt", "<i>"}, {"text", "a & b"}}, 3})}});
  return log;
}

TEST(Report, ShowsFiguresCurvesSamplesAndRecipeEscaped) {
  std::string html = report_html("run <1>", example_log(), "name: \"<x>\"\n");
  EXPECT_TRUE(is_balanced(html)) << html;
  for (const char* part : {"run &lt;1&gt;", "<b>2.125</b>", "&lt;i&gt;</i>a &amp; b",
                           "name: &quot;&lt;x&gt;&quot;", "<polyline"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  // Speeds are those of the whole run, not of its last steps.
  EXPECT_NE(html.find("<b>125</b><span>tokens per second"), std::string::npos);
  EXPECT_NE(html.find("<b>30.0 %</b>"), std::string::npos);
  // Nothing is fetched: the only address is the name of SVG's vocabulary.
  for (const char* part : {"src=", "href=", "url(", "@import", "<script"}) {
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
  EXPECT_TRUE(is_balanced(report_html("empty", {}, "")));
}

TEST(Report, IsMadeFromTheFolderAlone) {
  ScratchFolder folder;
  Recipe recipe;
  recipe.data.train = {"a.txt"};
  RunFolder run = RunFolder::create(folder / "demo", override_recipe(recipe, {}));
  for (const Json& line : example_log()) run.log(line);
  write_report(run.path());
  EXPECT_NE(read_file(folder / "demo/report.html").find("<h1>demo</h1>"), std::string::npos);
  EXPECT_NE(read_file(folder / "demo/loss.svg").find("held-out 4.5"), std::string::npos);
}

}  // namespace
}  // namespace millrace
