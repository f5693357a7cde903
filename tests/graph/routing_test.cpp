// Routers against transformers' numbers (tools/make_routing_goldens.py): choices, weights, losses
// and gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/graph/ops/routing.h"

namespace millrace {
namespace {

Tensor tensor(const Json& values, int64_t rows) {
  const auto floats = values.get<std::vector<float>>();
  return Tensor::from({rows, static_cast<int64_t>(floats.size()) / rows}, floats);
}

void expect_near(const Tensor& got, const Json& values, const std::string& of) {
  const auto expected = values.get<std::vector<float>>();
  ASSERT_EQ(got.f32().size(), expected.size()) << of;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(got.f32()[i], expected[i], 2e-6f * (1 + std::abs(expected[i]))) << of << " " << i;
  }
}

Routing routing(const Json& how, int64_t experts) {
  Routing routing;
  routing.num_experts = experts;
  routing.top_k = how.at("top_k");
  routing.score = how.value("sigmoid", false) ? RouterScore::sigmoid : RouterScore::softmax;
  routing.normalized = how.value("normalized", false);
  routing.least_sum = how.value("least_sum", routing.least_sum);
  routing.scale = how.value("scale", 1.0f);
  routing.groups = how.value("groups", 1);
  routing.top_groups = how.value("top_groups", 1);
  routing.group_best = how.value("group_best", 2);
  routing.prototypes = how.value("prototypes", 1);
  routing.capacity = how.value("capacity", 0);
  return routing;
}

class RoutingTest : public testing::Test {
 protected:
  Choice route(const Routing& how, bool biased) {
    return route_forward(logits_, how, biased ? bias_.data() : nullptr, sequences_, activations_);
  }

  Json golden_ = read_json(std::string(MILLRACE_SOURCE_DIR) + "/tests/golden/routing.json");
  int64_t rows_ = golden_.at("rows"), experts_ = golden_.at("experts");
  Tensor logits_ = tensor(golden_.at("logits"), rows_);
  std::vector<float> bias_ = golden_.at("bias");
  std::vector<int64_t> sequences_ = golden_.at("sequences");
  Activations activations_;
};

TEST_F(RoutingTest, ChoicesWeightsAndGradientsEqualTheReferences) {
  for (const Json& c : golden_.at("cases")) {
    const std::string name = c.at("name");
    const Routing how = routing(c.at("how"), experts_);
    const Choice choice = route(how, c.at("how").value("biased", false));
    const int64_t chosen = how.chosen();
    // The golden's choices are by index, ours by rank.
    std::vector<size_t> places(static_cast<size_t>(rows_ * chosen));
    for (size_t i = 0; i < places.size(); ++i) places[i] = i;
    const std::span<int32_t> experts = choice.experts.as<int32_t>();
    for (int64_t row = 0; row < rows_; ++row) {
      std::sort(places.begin() + row * chosen, places.begin() + (row + 1) * chosen,
                [&](size_t a, size_t b) { return experts[a] < experts[b]; });
    }
    Tensor weights(DType::f32, {rows_, chosen}), dweights(DType::f32, {rows_, chosen});
    for (size_t i = 0; i < places.size(); ++i) {
      EXPECT_EQ(experts[places[i]], c.at("chosen")[i].get<int32_t>()) << name << " " << i;
      weights.f32()[i] = choice.weights.f32()[places[i]];
      const bool kept = weights.f32()[i] != 0;
      dweights.f32()[places[i]] = kept ? c.at("dweights")[i].get<float>() : 0;
    }
    expect_near(weights, c.at("weights"), name + ": weights");
    Tensor dlogits(DType::f32, logits_.shape());
    route_backward(dweights, choice, how, dlogits);
    expect_near(dlogits, c.at("dlogits"), name + ": dlogits");
  }
}

TEST_F(RoutingTest, EveryPlaceThatIsNotDroppedIsDispatchedOnce) {
  for (int64_t capacity : {0, 3}) {
    Routing how{.num_experts = experts_, .top_k = 3};
    how.capacity = capacity;
    const Choice choice = route(how, false);
    std::vector<int> times(static_cast<size_t>(rows_ * 3));
    for (int64_t e = 0; e < experts_; ++e) {
      const std::span<const int64_t> places = choice.dispatch.places_of(e);
      EXPECT_TRUE(std::is_sorted(places.begin(), places.end()));
      for (size_t i = 0; i < places.size(); ++i) {
        ++times[static_cast<size_t>(places[i])];
        EXPECT_EQ(choice.experts.as<int32_t>()[static_cast<size_t>(places[i])], e);
        EXPECT_EQ(choice.dispatch.rows_of(e)[i], places[i] / 3);
      }
    }
    for (size_t i = 0; i < times.size(); ++i) {
      EXPECT_EQ(times[i], choice.weights.f32()[i] != 0) << i;
    }
  }
}

TEST_F(RoutingTest, CapacityIsCountedInEachSequenceAlone) {
  Routing how{.num_experts = experts_, .top_k = 2};
  how.capacity = 3;
  const Choice together = route(how, false);
  for (size_t s = 0; s + 1 < sequences_.size(); ++s) {
    const int64_t begin = sequences_[s], end = sequences_[s + 1];
    const std::vector<int64_t> alone = {0, end - begin};
    const Choice choice =
        route_forward(logits_.rows(begin, end), how, nullptr, alone, activations_);
    const Tensor expected = together.weights.rows(begin, end);
    EXPECT_TRUE(std::ranges::equal(choice.weights.f32(), expected.f32()));
  }
}

TEST_F(RoutingTest, NothingIsDroppedWhenServingUnlessTheModelSaysSo) {
  RaggedBatch batch;
  batch.add_sequence(std::vector<int32_t>(static_cast<size_t>(rows_)));
  Workspace workspace;
  EvaluatingContext context(batch, DType::f32, workspace);
  Routing how{.num_experts = experts_, .top_k = 1};
  how.capacity = 2;
  auto dropped = [&] {
    const Routed routed = context.route({logits_}, how, nullptr);
    return std::ranges::count(routed.weights.data.f32(), 0.0f);
  };
  EXPECT_EQ(dropped(), 0);
  how.drops_when_serving = true;
  EXPECT_GT(dropped(), 0);
  RaggedBatch rest;
  rest.add_sequence(std::vector<int32_t>(static_cast<size_t>(rows_)), 7);
  EvaluatingContext later(rest, DType::f32, workspace);
  EXPECT_THROW(later.route({logits_}, how, nullptr), Error);
}

TEST_F(RoutingTest, LossesEqualTheReferences) {
  const Json& losses = golden_.at("losses");
  const Tensor second = tensor(losses.at("second"), rows_);
  const Routing how{.num_experts = experts_, .top_k = 2, .normalized = true};
  RouterUse use;
  for (const Tensor& layer : {logits_, second}) {
    use.add(layer, route_forward(layer, how, nullptr, sequences_, activations_));
  }
  EXPECT_NEAR(use.balance_loss(), losses.at("balance").get<double>(), 1e-6);
  EXPECT_NEAR(use.z_loss(), losses.at("z").get<double>(), 1e-5);
  for (const auto& [layer, of] : {std::pair(logits_, "dfirst"), std::pair(second, "dsecond")}) {
    Tensor dlogits(DType::f32, layer.shape());
    router_losses_backward(layer, use, {0.3f, 0.2f}, dlogits);
    expect_near(dlogits, losses.at(of), of);
  }
}

TEST_F(RoutingTest, LogitsThatAreNoNumbersChooseSomeExpert) {
  std::ranges::fill(logits_.f32(), std::numeric_limits<float>::quiet_NaN());
  for (RouterScore score : {RouterScore::softmax, RouterScore::sigmoid}) {
    Routing how{.num_experts = experts_, .top_k = 3, .score = score};
    how.groups = 4;
    how.top_groups = 2;
    const Choice choice = route(how, true);
    for (int64_t row = 0; row < rows_; ++row) {
      const auto experts = choice.experts.as<int32_t>().subspan(static_cast<size_t>(row * 3), 3);
      EXPECT_TRUE(experts[0] != experts[1] && experts[1] != experts[2] && experts[0] != experts[2]);
    }
  }
}

}  // namespace
}  // namespace millrace
