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
}

double Optimizer::gradient_norm() const {
  double sum = 0;
  for (const Slot& slot : slots_) {
    const Tensor& gradient = slot.trained.parameter->gradient;
    sum += sum_of_squares(gradient.f32().data(), gradient.count());
  }
  return std::sqrt(sum);
}

void Optimizer::step_slot(Slot& slot, double lr_factor, float grad_scale) {
  Parameter& parameter = *slot.trained.parameter;
  const auto decay = static_cast<float>(parameter.is_matrix() ? recipe_.weight_decay : 0);
  if (slot.by_muon()) {
    Muon muon;
    muon.learning_rate = static_cast<float>(recipe_.matrix_lr * lr_factor);
    muon.momentum = static_cast<float>(recipe_.momentum);
    muon.weight_decay = decay;
    muon.grad_scale = grad_scale;
    muon.arithmetic = arithmetic_;
    muon_step(muon, parameter.gradient, parameter.value, slot.first);
  } else {
    AdamW adamw;
    adamw.learning_rate = static_cast<float>(recipe_.lr * lr_factor);
    adamw.beta1 = static_cast<float>(recipe_.betas[0]);
    adamw.beta2 = static_cast<float>(recipe_.betas[1]);
    adamw.epsilon = static_cast<float>(recipe_.eps);
    adamw.weight_decay = decay;
    adamw.step = steps_;
    adamw.grad_scale = grad_scale;
    adamw_step(adamw, parameter.gradient.f32().data(), parameter.value.count(),
               parameter.value.f32().data(), slot.first.f32().data(), slot.second.f32().data());
  }
  repack(parameter, arithmetic_, true);
  std::memset(parameter.gradient.data(), 0, parameter.gradient.bytes());
}

double Optimizer::step(double lr_factor) {
  const double norm = gradient_norm();
  require(std::isfinite(norm), "the gradient's norm is {}", norm);
  double scale = 1;
  if (recipe_.clip > 0) scale = std::min(1.0, recipe_.clip / (norm + 1e-6));
  ++steps_;
  // Spread over the parameters rather than within each: most are small, and products of small
  // matrices spend much of their time in waiting for the slowest thread.
  parallel_for(static_cast<int64_t>(slots_.size()), [&](int64_t i) {
    step_slot(slots_[static_cast<size_t>(i)], lr_factor, static_cast<float>(scale));
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
