// The optimiser of a run: which parameters step by AdamW and which by Muon, clipping, its state.
#pragma once

#include <cstdint>
#include <vector>

#include "millrace/formats/tensor_table.h"
#include "millrace/graph/parameter.h"
#include "millrace/train/recipe.h"

namespace millrace {

/// A parameter to train, and whether it is a matrix between hidden states: Muon is for those, and
/// not for embeddings and the head, whose rows are words.
struct TrainedParameter {
  Parameter* parameter = nullptr;
  bool hidden_matrix = false;
};

class Optimizer {
 public:
  /// Moments begin at zero. `arithmetic` is that of Muon's products.
  Optimizer(const OptimizerRecipe& recipe, std::vector<TrainedParameter> parameters,
            Arithmetic arithmetic);

  /// One step from the parameters' gradients, clipped to the recipe's global norm, with learning
  /// rates multiplied by `lr_factor`. Then the gradients are zero.
  /// Gives the norm before clipping. Throws Error, having changed nothing, when it is not finite.
  double step(double lr_factor);

  /// Steps taken, which AdamW's bias correction depends on.
  int64_t steps() const { return steps_; }

  /// The moments: "exp_avg.NAME" and "exp_avg_sq.NAME", or "momentum_buffer.NAME" for Muon.
  std::vector<NamedTensor> state() const;
  /// Takes back what state() gave. Throws Error naming a tensor that is missing or does not fit.
  void restore(const TensorTable& state, int64_t steps);

 private:
  struct Slot {
    TrainedParameter trained;
    Tensor first;   // AdamW's first moment, or Muon's momentum
    Tensor second;  // AdamW's second moment; empty for Muon
    bool by_muon() const { return second.empty(); }
  };

  /// What one thread does at a time: some rows of a parameter. A parameter that Muon steps is not
  /// divided.
  struct Part {
    size_t slot;
    int64_t begin, end;
  };

  double gradient_norm() const;
  void step_part(const Part& part, double lr_factor, float grad_scale);
  void step_by_muon(Slot& slot, double lr_factor, float grad_scale);
  void step_by_adamw(Slot& slot, const Part& part, double lr_factor, float grad_scale);

  OptimizerRecipe recipe_;
  Arithmetic arithmetic_;
  std::vector<Slot> slots_;
  std::vector<Part> parts_;
  int64_t steps_ = 0;
};

}  // namespace millrace
