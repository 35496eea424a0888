// SPDX-License-Identifier: Apache-2.0
// Forward and backward over a set of rows, split into microbatches of whole rows by a token budget.
// The split changes memory, not the result: every term is divided by the global batch's
// normalizers, known beforehand. On a device work is only enqueued; what it gave is looked at when
// somebody asks (finish), by the same code that the CPU's numbers go through.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libpref/data/rows.h"
#include "libpref/nn/network.h"
#include "libpref/objectives/objective.h"
#include "libpref/ops/device_head.h"
#include "libpref/ops/preference_head.h"
#include "libpref/train/metrics.h"

namespace pref {

/// Summed log-probs of sequences, nats; for objectives that mark tokens the marked sums beside them.
struct SequenceLogps {
  std::vector<double> logp, marked;
};

/// Log-probs of every branch of every row under the reference policy, nats, summed; for objectives
/// that mark tokens the marked sums beside them.
class ReferenceLogps {
 public:
  ReferenceLogps() = default;
  /// `values` in row order, branch by branch, for rows with these branch counts; `marked` as many,
  /// or none.
  ReferenceLogps(std::span<const TokenizedRow> rows, std::vector<double> values,
                 std::vector<double> marked = {});
  std::span<const double> row(int64_t index) const;
  std::span<const double> marked_row(int64_t index) const;  ///< empty without marks
  const std::vector<double>& values() const { return values_; }
  const std::vector<double>& marked() const { return marked_; }
  bool empty() const { return values_.empty(); }

 private:
  std::vector<double> values_, marked_;
  std::vector<int64_t> first_;
};

struct StepOptions {
  int64_t tokens_per_microbatch = 1024;
  HeadOptions head;
  LogitsType logits = LogitsType::like_weights;  ///< on a device
};

class PreferenceStep {
 public:
  /// Both must outlive this.
  PreferenceStep(Network& network, const Objective& objective, StepOptions options);
  ~PreferenceStep();

  struct Result {
    double loss = 0;  ///< sum of the rows' shares; the batch loss once all ranks' are added
    MetricSums metrics;
    double num_tokens = 0;  ///< prompt + completion of every branch, as TRL counts them
  };

  /// Called after each microbatch's forward pass with what it computed; may throw to stop before
  /// any update.
  using Inspect =
      std::function<void(const PackingPlan&, const SequenceStatistics&, const RowLosses&)>;

  /// Rows whose numbers nobody has asked for yet. Refers to the reference log-probs it was given.
  class Pending {
   public:
    Pending();
    ~Pending();
    Pending(Pending&&) noexcept;
    Pending& operator=(Pending&&) noexcept;

   private:
    friend class PreferenceStep;
    struct Microbatch;
    std::vector<std::unique_ptr<Microbatch>> microbatches_;
    Normalizers normalizers_;
    double num_tokens_ = 0;
  };
  /// What the global batch gives each sequence, where the objective couples: on the host
  /// (couple_batch), or on the device (enqueue_coupling).
  struct Coupled {
    std::span<const double> values;  ///< [S]
    at::Tensor on_device;            ///< [S] f64
  };
  /// Starts what accumulate() does, and on a device does not wait for it. `failure` [1] i32 there: 1
  /// is added where a loss is not finite.
  Pending enqueue(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                  const ReferenceLogps& reference, const Normalizers& normalizers,
                  Coupled coupled = {}, const at::Tensor& failure = {});
  /// On a device: starts a forward pass of the global batch `indices` and what couples it, and waits
  /// for neither. `state` (coupling_on_device) takes the batch in, unless `failure` is set by then.
  Coupled enqueue_coupling(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                           const ReferenceLogps& reference, const at::Tensor& state,
                           const at::Tensor& failure);
  /// Waits, and gives its result. Throws as accumulate().
  Result finish(const Pending& pending, std::span<const TokenizedRow> rows,
                const Inspect& inspect = {});
  /// Whether enqueue() returns before the work is done.
  bool deferred() const { return device_ != nullptr; }

  /// Adds the rows' gradients to the parameter store. `coupled`: couple_batch() of the global batch
  /// for the sequences of `indices`, where the objective couples. A non-finite loss throws
  /// ErrorKind::non_finite naming the rows.
  Result accumulate(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                    const ReferenceLogps& reference, const Normalizers& normalizers,
                    const Inspect& inspect = {}, Coupled coupled = {});
  /// The same without gradients.
  Result evaluate(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                  const ReferenceLogps& reference, const Normalizers& normalizers,
                  Coupled coupled = {});
  /// Log-probs of all rows under the network as it stands, as a reference for later; `progress` is
  /// told the rows done.
  ReferenceLogps reference(std::span<const TokenizedRow> rows,
                           const std::function<void(int64_t)>& progress = {});
  /// Log-probs of the rows `indices`, sequence by sequence; `progress` as there.
  SequenceLogps logps(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                      const std::function<void(int64_t)>& progress = {});
  /// Statistics of rows, microbatch by microbatch, without gradients.
  void statistics(
      std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
      const std::function<void(const PackingPlan&, const SequenceStatistics&)>& receive);

 private:
  struct OnDevice;  // head and uploader
  Pending run(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
              const ReferenceLogps& reference, const Normalizers& normalizers, Coupled coupled,
              bool with_gradient, const at::Tensor& failure);
  void compute(Pending::Microbatch& microbatch, const Normalizers& normalizers, bool with_gradient,
               const at::Tensor& failure);

  Network& network_;
  const Objective& objective_;
  StepOptions options_;
  std::optional<PreferenceHead> head_;  // on the CPU
  std::unique_ptr<OnDevice> device_;    // elsewhere
};

/// 0, 1, ..., count - 1.
std::vector<int64_t> all_indices(size_t count);

/// Rows and chosen tokens of a batch: what its terms are divided by.
Normalizers normalizers_of(std::span<const TokenizedRow> rows, std::span<const int64_t> indices);

}  // namespace pref
