#include "millrace/data/lines.h"

#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 18;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
struct FreeStream {
  void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
};

}  // namespace

std::string inner_extension(std::filesystem::path path) {
  if (path.extension() == ".zst") path.replace_extension();
  return path.extension().string();
}

/// The bytes of a file, decompressed where its name says so.
class LineReader::Source {
 public:
  explicit Source(const std::filesystem::path& path)
      : name_(path.string()), file_(std::fopen(path.c_str(), "rbe")) {
    if (file_ == nullptr) fail("{}: cannot open: {}", name_, std::strerror(errno));
    require(!std::filesystem::is_directory(path), "{}: is a folder, not a file", name_);
    if (path.extension() != ".zst") return;
    stream_.reset(ZSTD_createDStream());
    require(stream_ != nullptr, "{}: no memory to decompress it", name_);
    compressed_.resize(kChunkBytes);
  }

  /// Appends the next bytes to `out`; false at the end of the file.
  bool append(std::string& out) {
    size_t before = out.size();
    out.resize(before + kChunkBytes);
    size_t got = stream_ ? decompress(out.data() + before) : read(out.data() + before);
    out.resize(before + got);
    return got > 0;
  }

 private:
  size_t read(char* out) {
    size_t got = std::fread(out, 1, kChunkBytes, file_.get());
    if (got == 0 && std::ferror(file_.get()) != 0) {
      fail("{}: cannot read: {}", name_, std::strerror(errno));
    }
    return got;
  }

  size_t decompress(char* out) {
    ZSTD_outBuffer output{out, kChunkBytes, 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size) {
        input_ = {compressed_.data(), read(compressed_.data()), 0};
        if (input_.size == 0) {
          require(frame_ended_, "{}: the compressed file is cut off", name_);
          return 0;
        }
      }
      size_t status = ZSTD_decompressStream(stream_.get(), &output, &input_);
      require(ZSTD_isError(status) == 0U, "{}: is not valid zstd: {}", name_,
              ZSTD_getErrorName(status));
      frame_ended_ = status == 0;
    }
    return output.pos;
  }

  std::string name_;
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::unique_ptr<ZSTD_DStream, FreeStream> stream_;
  std::vector<char> compressed_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool frame_ended_ = true;
};

LineReader::LineReader(const std::filesystem::path& path, size_t max_line_bytes)
    : source_(std::make_unique<Source>(path)),
      max_line_bytes_(max_line_bytes),
      name_(path.string()) {}

LineReader::~LineReader() = default;

bool LineReader::next() {
  size_t searched = read_;
  while (true) {
    size_t end = buffer_.find('\n', searched);
    if (end == std::string::npos && !ended_) {
      buffer_.erase(0, read_);
      read_ = 0;
      searched = buffer_.size();
      require(searched <= max_line_bytes_, "{}:{}: the line has more than {} bytes", name_,
              number_ + 1, max_line_bytes_);
      ended_ = !source_->append(buffer_);
      continue;
    }
    if (end == std::string::npos && read_ == buffer_.size()) return false;
    size_t stop = end == std::string::npos ? buffer_.size() : end;
    line_ = std::string_view(buffer_).substr(read_, stop - read_);
    read_ = end == std::string::npos ? stop : stop + 1;
    ++number_;
    return true;
  }
}

}  // namespace millrace
