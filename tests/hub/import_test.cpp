// Models from folders and archives, hostile ones too.
#include <archive.h>
#include <archive_entry.h>

#include <clocale>

#include "millrace/hub/archive.h"
#include "millrace/hub/digest.h"
#include "tests/hub/hub_test.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct Entry {
  std::string path, contents;
  unsigned type = AE_IFREG;
  std::string link = "";
};

void write_archive(const fs::path& path, const std::vector<Entry>& entries) {
  const std::string name = path.string();
  std::setlocale(LC_CTYPE, "C.UTF-8");  // the writer needs it for names; the reader must not
  archive* writer = archive_write_new();
  if (name.ends_with(".zip")) {
    archive_write_set_format_zip(writer);
  } else {
    archive_write_set_format_pax_restricted(writer);
  }
  if (name.ends_with("gz")) archive_write_add_filter_gzip(writer);
  if (name.ends_with(".zst")) archive_write_add_filter_zstd(writer);
  ASSERT_EQ(archive_write_open_filename(writer, name.c_str()), ARCHIVE_OK);
  for (const Entry& one : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_update_pathname_utf8(entry, one.path.c_str());
    archive_entry_set_filetype(entry, one.type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(one.contents.size()));
    if (one.type == AE_IFLNK) archive_entry_set_symlink(entry, one.link.c_str());
    if (one.type == AE_IFREG && !one.link.empty()) {
      archive_entry_set_hardlink(entry, one.link.c_str());
    }
    archive_write_header(writer, entry);
    archive_write_data(writer, one.contents.data(), one.contents.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  std::setlocale(LC_CTYPE, "C");
}

class Import : public HubTest {
 protected:
  const std::string weights_ = random_bytes(100'000, 5);
  const std::vector<Entry> model_ = {{"model/", "", AE_IFDIR},
                                     {"model/config.json", "{}"},
                                     {"model/model.safetensors", weights_},
                                     {"model/pytorch_model.bin", "the same again"},
                                     {"model/sub/诗.txt", "a"}};
};

TEST_F(Import, AFolder) {
  const fs::path folder = scratch_ / "stick/my-model";
  fs::create_directories(folder / "sub");
  write_file(folder / "config.json", "{}");
  write_file(folder / "model.safetensors", weights_);
  write_file(folder / "model.ckpt", "not needed");
  write_file(folder / "sub/a.txt", "a");
  fs::create_symlink("config.json", folder / "second.json");
  const hub::Pulled pulled = pull(folder.string() + "/");
  EXPECT_EQ(pulled.model.manifest.name, "my-model");
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_EQ(read(pulled, "sub/a.txt"), "a");
  EXPECT_EQ(read(pulled, "second.json"), "{}");
  EXPECT_FALSE(fs::exists(pulled.model.folder / "model.ckpt"));
  EXPECT_EQ(blobs().size(), 3u);
  EXPECT_EQ(server_.requests().size(), 0u);

  write_file(scratch_ / "secret", "x");
  fs::create_symlink(scratch_ / "secret", folder / "stolen.txt");
  expect_message(failure(folder), {"stolen.txt", "link out of the folder", "cp -rL"});
}

TEST_F(Import, AGgufFile) {
  const fs::path file = scratch_.write("tiny.Q8_0.gguf", weights_);
  request_.sha256 = hub::sha256_of(weights_);
  const hub::Pulled pulled = pull(file);
  EXPECT_EQ(pulled.model.manifest.name, "tiny.Q8_0");
  EXPECT_EQ(read_file(pulled.model.path), weights_);
  request_.sha256[0] = request_.sha256[0] == '0' ? '1' : '0';
  expect_message(failure(file), {"SHA-256"});
  expect_message(failure(scratch_.write("words.txt", "x")), {"must be a folder"});
}

TEST_F(Import, ArchivesOfEveryKind) {
  for (const char* name : {"one.tar", "two.tar.gz", "three.tgz", "four.tar.zst", "five.zip"}) {
    write_archive(scratch_ / name, model_);
    const hub::Pulled pulled = pull(scratch_ / name);
    EXPECT_EQ(pulled.model.manifest.name + ".",
              std::string(name).substr(0, std::string(name).find('.') + 1));
    EXPECT_EQ(read(pulled, "model.safetensors"), weights_) << name;
    EXPECT_EQ(read(pulled, "sub/诗.txt"), "a") << name;
    EXPECT_EQ(pulled.model.manifest.files.size(), 3u);
  }
  EXPECT_EQ(blobs().size(), 3u);
  EXPECT_EQ(hard_link_count(store_.blob(hub::sha256_of(weights_))), 6u);
}

TEST_F(Import, AnArchiveByItsUrl) {
  write_archive(scratch_ / "m.tar.zst", model_);
  server_.add("lab/m", "m.tar.zst", read_file(scratch_ / "m.tar.zst"));
  const hub::Pulled pulled = pull(server_.url() + "/lab/m/resolve/main/m.tar.zst");
  EXPECT_EQ(pulled.model.manifest.name, "m");
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_EQ(blobs().size(), 3u);  // the archive is not kept
}

TEST_F(Import, HostileEntriesAreRefused) {
  const std::vector<std::pair<Entry, std::string>> hostile = {
      {{"../evil", "x"}, "leaves its folder"},
      {{"a/../../evil", "x"}, "leaves its folder"},
      {{"/etc/evil", "x"}, "absolute"},
      {{"a\\..\\evil", "x"}, "backslash"},
      {{"link", "", AE_IFLNK, "/etc/passwd"}, "link or a device"},
      {{"hard", "", AE_IFREG, "config.json"}, "link or a device"},
      {{"pipe", "", AE_IFIFO}, "link or a device"},
      {{"device", "", AE_IFCHR}, "link or a device"}};
  for (const auto& [entry, why] : hostile) {
    write_archive(scratch_ / "m.tar", {{"config.json", "{}"}, entry, {"model.safetensors", "w"}});
    expect_message(failure(scratch_ / "m.tar"), {"m.tar", why});
  }
  write_archive(scratch_ / "m.zip", {{"a", "1"}, {"a", "2"}});
  expect_message(failure(scratch_ / "m.zip"), {"two files"});
  EXPECT_FALSE(fs::exists(scratch_ / "evil"));
  EXPECT_TRUE(store_.list().empty());
  EXPECT_EQ(blobs().size(), 0u);
}

TEST_F(Import, WhatGrowsBeyondAllMeasureIsRefused) {
  write_archive(scratch_ / "bomb.tar.zst", {{"config.json", std::string(8 << 20, ' ')}});
  hub::ImportOptions options;
  options.max_unpacked = 1 << 20;
  EXPECT_THROW(hub::import_archive(store_, scratch_ / "bomb.tar.zst", options), Error);
  EXPECT_EQ(blobs().size() + blobs(".partial").size(), 0u);
}

TEST_F(Import, DamagedArchivesNeverCrash) {
  for (const char* name : {"m.tar", "m.tar.zst", "m.zip"}) {
    write_archive(scratch_ / name, {{"m/config.json", "{}"}, {"m/model.safetensors", "weights"}});
    const std::string whole = read_file(scratch_ / name);
    int refused = 0;
    for (uint64_t seed = 0; seed < 300; ++seed) {
      Random random(seed);
      fs::remove(scratch_ / name);
      scratch_.write(name, mutate_binary(whole, random));
      try {
        hub::for_each_entry(scratch_ / name,
                            [](const hub::ArchiveEntry&, const hub::ReadEntry& read) {
                              read([](std::span<const std::byte>) {});
                            });
      } catch (const Error& error) {
        EXPECT_TRUE(std::string(error.what()).find(name) != std::string::npos) << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, 50) << name;
    const size_t inside = whole.find("weights");  // of a plain tar
    scratch_.write(name, whole.substr(0, std::min(inside, whole.size() / 3 - 3) + 3));
    EXPECT_NE(failure(scratch_ / name), "(no error)") << name;
  }
}

}  // namespace
}  // namespace millrace
