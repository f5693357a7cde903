#include "millrace/model/spec_table.h"

namespace millrace {

TensorSpec& SpecTable::add(size_t place, bool wanted, const std::string& name,
                           const std::string& gguf_name, Shape shape,
                           Initialization initialization) {
  if (specs.size() <= place) specs.resize(place + 1);
  TensorSpec& spec = specs[place];
  if (!wanted || name.empty()) return spec;
  const std::string end =
      shape.rank() == 1 && initialization == Initialization::zeros ? ".bias" : ".weight";
  spec.name = prefix + name + end;
  if (!gguf_name.empty()) spec.gguf_name = gguf_prefix + gguf_name + end;
  spec.shape = shape;
  spec.initialization = initialization;
  if (initialization == Initialization::ones) spec.offset = norm_offset;
  spec.transposed = transposed && shape.rank() == 2;
  spec.layers = layers;
  return spec;
}

void SpecTable::norm(size_t place, const std::string& name, const std::string& gguf_name,
                     int64_t width, bool biased) {
  add(place, true, name, gguf_name, {width}, Initialization::ones);
  if (biased) add(place + 1, true, name, gguf_name, {width}, Initialization::zeros);
}

void SpecTable::linear(size_t place, const std::string& name, const std::string& gguf_name,
                       Shape shape, bool biased, Initialization initialization) {
  add(place, true, name, gguf_name, shape, initialization);
  add(place + 1, biased, name, gguf_name, {shape[0]}, Initialization::zeros);
}

void SpecTable::pack(size_t place, const std::string& packed_in, RowPart rows,
                     const std::string& gguf_name, RowPart gguf_rows) {
  for (TensorSpec* spec : {&specs[place], &specs[place + 1]}) {
    if (spec->shape.rank() == 0) continue;
    const std::string end = spec->name.substr(spec->name.rfind('.'));
    if (!packed_in.empty()) {
      spec->packed_in = prefix + packed_in + end;
      spec->packed_rows = rows;
    }
    if (!gguf_name.empty()) {
      spec->gguf_name = gguf_prefix + gguf_name + end;
      spec->gguf_rows = gguf_rows;
    }
  }
}

}  // namespace millrace
