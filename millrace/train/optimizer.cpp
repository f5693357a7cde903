#include "millrace/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/optimizer.h"
#include "millrace/train/muon.h"

namespace millrace {
namespace {

/// Rows of a matrix that a thread steps at a time.
constexpr int64_t kRowsAPart = 32;

int64_t rows_of(const Parameter& parameter) {
  return parameter.shape[0];
}

/// Numbers in a row: 1 in a vector.
int64_t width_of(const Parameter& parameter) {
  return parameter.shape.count() / parameter.shape[0];
}

}  // namespace

Optimizer::Optimizer(const OptimizerRecipe& recipe, std::vector<TrainedParameter> parameters,
                     Arithmetic arithmetic)
    : recipe_(recipe), arithmetic_(arithmetic) {
  for (const TrainedParameter& trained : parameters) {
    const Parameter& parameter = *trained.parameter;
    require(parameter.trained(), "parameter {} has no gradient to train by", parameter.name);
    Slot slot{trained, Tensor(DType::f32, parameter.shape), Tensor()};
    bool muon = recipe.name == "muon" && trained.hidden_matrix && parameter.is_matrix();
    if (!muon) slot.second = Tensor(DType::f32, parameter.shape);
    slots_.push_back(std::move(slot));
  }
  // The large parts first, so that all threads end together.
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].by_muon()) parts_.push_back({i, 0, rows_of(*slots_[i].trained.parameter)});
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Parameter& parameter = *slots_[i].trained.parameter;
    const int64_t rows = rows_of(parameter);
    const int64_t step = parameter.is_matrix() ? kRowsAPart : std::max<int64_t>(rows, 1);
    for (int64_t row = 0; row < rows && !slots_[i].by_muon(); row += step) {
      parts_.push_back({i, row, std::min(rows, row + step)});
    }
  }
}

double Optimizer::gradient_norm() const {
  double sum = 0;
  for (const Slot& slot : slots_) {
    const Tensor& gradient = slot.trained.parameter->gradient;
    sum += sum_of_squares(gradient.f32().data(), gradient.count());
  }
  return std::sqrt(sum);
}

void Optimizer::step_by_muon(Slot& slot, double lr_factor, float grad_scale) {
  Parameter& parameter = *slot.trained.parameter;
  Muon muon;
  muon.learning_rate = static_cast<float>(recipe_.matrix_lr * lr_factor);
  muon.momentum = static_cast<float>(recipe_.momentum);
  muon.weight_decay = static_cast<float>(recipe_.weight_decay);
  muon.grad_scale = grad_scale;
  muon.arithmetic = arithmetic_;
  muon_step(muon, parameter.gradient, parameter.value, slot.first);
}

void Optimizer::step_by_adamw(Slot& slot, const Part& part, double lr_factor, float grad_scale) {
  Parameter& parameter = *slot.trained.parameter;
  AdamW adamw;
  adamw.learning_rate = static_cast<float>(recipe_.lr * lr_factor);
  adamw.beta1 = static_cast<float>(recipe_.betas[0]);
  adamw.beta2 = static_cast<float>(recipe_.betas[1]);
  adamw.epsilon = static_cast<float>(recipe_.eps);
  adamw.weight_decay = static_cast<float>(parameter.is_matrix() ? recipe_.weight_decay : 0);
  adamw.step = steps_;
  adamw.grad_scale = grad_scale;
  const int64_t width = width_of(parameter), first = part.begin * width;
  adamw_step(adamw, parameter.gradient.f32().data() + first, (part.end - part.begin) * width,
             parameter.value.f32().data() + first, slot.first.f32().data() + first,
             slot.second.f32().data() + first);
}

void Optimizer::step_part(const Part& part, double lr_factor, float grad_scale) {
  Slot& slot = slots_[part.slot];
  if (slot.by_muon()) {
    step_by_muon(slot, lr_factor, grad_scale);
  } else {
    step_by_adamw(slot, part, lr_factor, grad_scale);
  }
  Parameter& parameter = *slot.trained.parameter;
  const int64_t width = width_of(parameter);
  std::fill_n(parameter.gradient.f32().data() + part.begin * width, (part.end - part.begin) * width,
              0.0f);
}

double Optimizer::step(double lr_factor) {
  const double norm = gradient_norm();
  require(std::isfinite(norm), "the gradient's norm is {}", norm);
  double scale = 1;
  if (recipe_.clip > 0) scale = std::min(1.0, recipe_.clip / (norm + 1e-6));
  ++steps_;
  parallel_for(static_cast<int64_t>(parts_.size()), [&](int64_t i) {
    step_part(parts_[static_cast<size_t>(i)], lr_factor, static_cast<float>(scale));
  });
  return norm;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> tensors;
  for (const Slot& slot : slots_) {
    const std::string& name = slot.trained.parameter->name;
    if (slot.by_muon()) {
      tensors.push_back({"momentum_buffer." + name, slot.first});
    } else {
      tensors.push_back({"exp_avg." + name, slot.first});
      tensors.push_back({"exp_avg_sq." + name, slot.second});
    }
  }
  return tensors;
}

void Optimizer::restore(const TensorTable& state, int64_t steps) {
  std::vector<NamedTensor> own = this->state();
  require(own.size() == state.size(), "{}: holds {} tensors of optimiser state instead of {}",
          state.source(), state.size(), own.size());
  for (const NamedTensor& target : own) {
    const Tensor& saved = state.at(target.name);
    require(saved.dtype() == DType::f32 && saved.shape() == target.tensor.shape(),
            "{}: tensor '{}' is {} of shape {} instead of f32 of shape {}", state.source(),
            target.name, info(saved.dtype()).name, saved.shape(), target.tensor.shape());
  }
  for (const NamedTensor& target : own) {
    const Tensor& saved = state.at(target.name);
    if (saved.bytes() > 0) std::memcpy(target.tensor.data(), saved.data(), saved.bytes());
  }
  steps_ = steps;
}

}  // namespace millrace
