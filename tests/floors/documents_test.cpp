// What README.md and docs/ name is there.
#include "tests/floors/documents.h"

#include <gtest/gtest.h>

#include "tests/scratch.h"

namespace millrace {
namespace {

TEST(Documents, NameOnlyFilesThatAreThere) {
  for (const std::string& one : missing_in_documents(MILLRACE_SOURCE_DIR)) ADD_FAILURE() << one;
}

TEST(Documents, AMissingFileIsFound) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "docs");
  std::filesystem::create_directories(folder / "millrace/graph");
  folder.write("millrace/graph/context.h", "");
  folder.write("README.md", "`graph/context.h`, `millrace/graph/`, [a](docs/a.md), `tests/X/`\n");
  folder.write("docs/a.md",
               "`RUN/model` and [home](../README.md#map)\n`graph/gone.h`\n```\n`graph/block.h`\n"
               "```\n`gone/`, [b](b.md), [out](https://example.org/a.md)\n");
  const std::vector<std::string> expected = {"docs/a.md:2: there is no graph/gone.h",
                                             "docs/a.md:6: there is no gone/",
                                             "docs/a.md:6: there is no b.md"};
  EXPECT_EQ(missing_in_documents(folder.path()), expected);
}

}  // namespace
}  // namespace millrace
