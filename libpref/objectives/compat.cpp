// SPDX-License-Identifier: Apache-2.0
#include "libpref/objectives/compat.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "libpref/base/error.h"

namespace pref {
namespace {

// The losses that read an option; "all" stands for all that compare responses.
struct Reading {
  const char* option;
  std::vector<std::string> losses;
};

struct Version {
  Compat compat;
  std::vector<std::string> losses;
  std::vector<Reading> readings;
};

// As the versions' code reads them, which their documentation does not always say;
// tests/objectives/compat_goldens.txt has the proof of every entry and of every absence.
const Version& version_of(Compat compat) {
  static const std::vector<Version> versions = {
      {Compat::trl_0_9,
       {"sigmoid", "robust", "exo_pair", "hinge", "ipo", "bco_pair", "sppo_hard", "nca_pair", "aot",
        "aot_pair"},
       {{"beta", {"all"}},
        {"label_smoothing", {"sigmoid", "robust", "exo_pair", "aot", "aot_pair"}},
        {"f_divergence_type", {"sigmoid", "robust", "exo_pair", "hinge", "ipo"}},
        {"f_alpha_divergence_coef", {"sigmoid", "robust", "exo_pair", "hinge", "ipo"}},
        {"rpo_alpha", {"all"}}}},
      {Compat::trl_0_28,
       {"sigmoid", "robust", "exo_pair", "hinge", "ipo", "bco_pair", "sppo_hard", "nca_pair", "aot",
        "aot_pair", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft"},
       {{"beta", {"all"}},
        {"label_smoothing", {"sigmoid", "robust", "exo_pair", "aot", "aot_pair", "aot_unpaired"}},
        // Its configuration turns the choice into text and its loss compares it with an enum.
        {"f_divergence_type", {}},
        {"f_alpha_divergence_coef", {}},
        {"discopop_tau", {"discopop"}},
        {"ld_alpha", {"all"}},
        {"rpo_alpha", {"all", "sft"}},
        {"use_weighting", {"all", "sft"}}}},
      {Compat::trl_1_9,
       {"sigmoid", "robust", "exo_pair", "hinge", "ipo", "bco_pair", "sppo_hard", "nca_pair", "aot",
        "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"},
       {{"beta", {"all"}},
        {"label_smoothing", {"robust", "exo_pair", "aot", "aot_unpaired"}},
        {"f_divergence_type",
         {"sigmoid", "robust", "exo_pair", "hinge", "ipo", "bco_pair", "sppo_hard", "nca_pair",
          "apo_down", "discopop", "sigmoid_norm"}},
        {"f_alpha_divergence_coef",
         {"sigmoid", "robust", "exo_pair", "hinge", "ipo", "bco_pair", "sppo_hard", "nca_pair",
          "apo_down", "discopop", "sigmoid_norm"}},
        {"discopop_tau", {"discopop"}},
        {"ld_alpha", {"all"}},
        {"use_weighting", {"all"}}}},
  };
  return *std::find_if(versions.begin(), versions.end(),
                       [&](const Version& v) { return v.compat == compat; });
}

bool contains(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", x);
  return text;
}

// The keys whose values are computed with.
struct Values {
  double beta = 0.1, label_smoothing = 0, f_alpha_divergence_coef = 0, rpo_alpha = 0,
         simpo_gamma = 0.5, cpo_alpha = 1;
  bool use_weighting = false;
  FDivergence f_divergence_type = FDivergence::reverse_kl;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "");
    visit("label_smoothing", self.label_smoothing, half_open(0, 0.5), "");
    visit("f_divergence_type", self.f_divergence_type, any(), "");
    visit("f_alpha_divergence_coef", self.f_alpha_divergence_coef, any(), "");
    visit("rpo_alpha", self.rpo_alpha, any(), "");
    visit("use_weighting", self.use_weighting, any(), "");
    visit("simpo_gamma", self.simpo_gamma, any(), "");
    visit("cpo_alpha", self.cpo_alpha, at_least(0), "");
  }
};

class Rewriting {
 public:
  Rewriting(Compat compat, ObjectiveChoice& choice, std::vector<Setting>& settings)
      : compat_(compat), choice_(choice), settings_(settings) {
    for (const auto& entry : enum_names(Compat{}))
      if (entry.value == compat) name_ = entry.name;
    for (const Setting& s : settings_) set_option(values_, s.name, s.text, s.source, false);
  }

  void dpo() {
    check_losses();
    check_options();
    smoothing();
    divergence();
    weighting();
    averaging();
    running_mean();
    likelihood();
    truncation();
  }

  // CPOTrainer's SimPO has an absolute margin, and CPO's likelihood term unless that is taken off.
  void simpo() {
    const std::vector<std::string> read = {"beta", "label_smoothing", "simpo_gamma", "cpo_alpha"};
    for (const Setting& s : settings_)
      if (is_objectives(s.name) && !contains(read, s.name))
        refuse(s,
               "is no option of its CPOTrainer with loss_type simpo, which reads beta, "
               "label_smoothing, simpo_gamma and cpo_alpha");
    add("beta", number(values_.beta));
    add("gamma_beta_ratio", number(values_.simpo_gamma / values_.beta));
    if (values_.cpo_alpha > 0) {
      choice_.loss_weights.assign(choice_.loss_type.size(), 1.0);
      choice_.loss_type.push_back("sft");
      choice_.loss_weights.push_back(values_.cpo_alpha);
    }
    take("simpo_gamma");
    take("cpo_alpha");
    if (const Setting* s = given("truncation_mode"); s && compat_ != Compat::trl_0_9)
      refuse(*s, "does nothing in its CPOTrainer, where responses lose their right end");
    truncation();
  }

 private:
  [[noreturn]] void refuse(const Setting& s, std::string_view why) const {
    fail(ErrorKind::option, "compat", s.source.place, ": with compat: ", name_, ", option \"",
         s.name, "\" ", why, ". Remove it, or leave compat out.");
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorKind::option, "compat", "with compat: ", name_, ", ", what);
  }

  const Setting* given(std::string_view name) const {
    const Setting* last = nullptr;
    for (const Setting& s : settings_)
      if (s.name == name) last = &s;
    return last;
  }
  void take(std::string_view name) {
    std::erase_if(settings_, [&](const Setting& s) { return s.name == name; });
  }
  // Replaces whatever the configuration says.
  void add(const std::string& name, const std::string& text) {
    take(name);
    settings_.push_back({name, text, {"compat: " + name_}});
  }
  bool has_loss(std::string_view name) const { return contains(choice_.loss_type, name); }
  bool older() const { return compat_ != Compat::trl_1_9; }

  // An option of an objective, in libpref's words or in the versions'.
  static bool is_objectives(const std::string& name) {
    if (known_option<Values>(name)) return true;
    const std::vector<OptionText> all = describe_objectives();
    return std::any_of(all.begin(), all.end(), [&](const OptionText& option) {
      return option.name.substr(option.name.find('.') + 1) == name;
    });
  }

  void check_losses() {
    const Version& version = version_of(compat_);
    for (const std::string& loss : choice_.loss_type)
      if (!contains(version.losses, loss))
        refuse("there is no loss_type \"" + loss + "\"; that version has " +
               joined(version.losses) + ".");
    if (compat_ == Compat::trl_0_9 &&
        (choice_.loss_type.size() > 1 || !choice_.loss_weights.empty()))
      refuse("loss_type is one loss without loss_weights; lists came later.");
  }

  // Every option of an objective must be the version's, and some loss of the list must read it.
  void check_options() {
    const Version& version = version_of(compat_);
    for (const Setting& s : settings_) {
      const auto reading = std::find_if(version.readings.begin(), version.readings.end(),
                                        [&](const Reading& r) { return s.name == r.option; });
      if (reading == version.readings.end()) {
        if (is_objectives(s.name)) refuse(s, "does not exist in its DPOTrainer");
        continue;
      }
      const auto reads = [&](const std::string& loss) {
        return contains(reading->losses, loss) ||
               (loss != "sft" && contains(reading->losses, "all"));
      };
      if (std::any_of(choice_.loss_type.begin(), choice_.loss_type.end(), reads)) continue;
      refuse(s, reading->losses.empty()
                    ? "has no effect: that version drops it on the way to its loss"
                    : "has no effect with loss_type " + joined(choice_.loss_type) +
                          "; that version reads it in " + joined(reading->losses));
    }
  }

  void smoothing() {
    if (compat_ == Compat::trl_1_9) choice_.withheld.push_back("dpo.label_smoothing");
    if (!has_loss("exo_pair") || values_.label_smoothing > 0) return;
    if (older())
      add("label_smoothing", "0.001");  // and so for the other losses of the list
    else
      refuse(
          "exo_pair needs a label_smoothing above 0, whose default there is 0. Give one; its "
          "paper has 1e-3.");
  }

  void divergence() {
    const Setting* type = given("f_divergence_type");
    const Setting* coefficient = given("f_alpha_divergence_coef");
    const bool alpha = values_.f_divergence_type == FDivergence::alpha_divergence;
    if (coefficient && !alpha) refuse(*coefficient, "has no effect without alpha_divergence");
    if (!type || values_.f_divergence_type == FDivergence::reverse_kl) return;
    if (older()) {
      if (values_.f_divergence_type == FDivergence::forward_kl)
        refuse(*type, "has no value forward_kl: reverse_kl, js_divergence, alpha_divergence");
      if (coefficient && values_.f_alpha_divergence_coef == 0)
        refuse(*coefficient, "is 0, by which that version divides");
      // (1 - e^(-a h)) / a: the alpha-divergence of 1 - a.
      if (alpha)
        add("f_alpha_divergence_coef",
            number(1 - (coefficient ? values_.f_alpha_divergence_coef : 1.0)));
    } else {
      if (has_loss("apo_down"))
        refuse(*type, "acts on one half of apo_down only, which libpref does not reproduce");
      for (const char* loss : {"ipo", "sigmoid_norm", "nca_pair", "bco_pair", "sppo_hard"})
        if (has_loss(loss)) add("f_divergence_constant", "dropped");
    }
    add("f_divergence_reward", "log_ratio");
  }

  void weighting() {
    if (const Setting* s = given("ld_alpha"); s && compat_ == Compat::trl_0_28)
      refuse(*s,
             "counts tokens from the row's start, its prompt included, and drops those beyond "
             "the completion's length, which libpref does not reproduce; without compat it is "
             "LD-DPO's");
    const bool likelihood = has_loss("sft") || given("rpo_alpha");
    if (const Setting* s = given("use_weighting"); s && !values_.use_weighting && choice_.weighting)
      refuse(*s, "is false although trainer: wpo means it");
    choice_.weighting = choice_.weighting || values_.use_weighting;
    take("use_weighting");
    if (!choice_.weighting) return;
    if (compat_ == Compat::trl_0_9) refuse("there is no use_weighting (trainer: wpo).");
    if (has_loss("aot") || has_loss("aot_pair") || has_loss("aot_unpaired"))
      refuse("use_weighting has no meaning with aot, whose sort separates losses from pairs.");
    if (likelihood)
      refuse(
          "use_weighting beside a likelihood term (sft, rpo_alpha) is not reproduced: 0.28 "
          "multiplies the whole batch's likelihood by its mean weight, 1.9 stops. Without "
          "compat the weight acts on the pairs alone.");
    if (compat_ != Compat::trl_1_9) return;
    if (has_loss("hinge"))
      refuse("hinge cannot be weighted: that version stops in its backward pass.");
    add("clamp", "none");
  }

  void averaging() {
    if (older() && has_loss("ipo")) add("average_log_prob", "true");
  }

  void running_mean() {
    if (older() && has_loss("bco_pair")) add("reward_shift", "running_mean");
  }

  void likelihood() {
    for (std::string& loss : choice_.loss_type)
      if (loss == "aot_pair") loss = "aot_unpaired";  // its later name
    if (!given("rpo_alpha")) return;
    if (choice_.loss_weights.empty()) choice_.loss_weights.assign(choice_.loss_type.size(), 1.0);
    const bool on_preference = compat_ == Compat::trl_0_9;
    if (on_preference)
      for (double& weight : choice_.loss_weights) weight *= values_.rpo_alpha;
    choice_.loss_type.push_back("sft");
    choice_.loss_weights.push_back(on_preference ? 1.0 : values_.rpo_alpha);
    take("rpo_alpha");
  }

  // 0.9's modes say which end of the prompt stays; responses always lose their right end.
  void truncation() {
    const Setting* mode = given("truncation_mode");
    if (compat_ != Compat::trl_0_9 || !mode) return;
    if (mode->text != "keep_end")
      refuse(*mode,
             "may be keep_end alone: its keep_start keeps the first tokens of a long prompt, "
             "which libpref does not");
    add("truncation_mode", "keep_start");
  }

  Compat compat_;
  std::string name_;
  ObjectiveChoice& choice_;
  std::vector<Setting>& settings_;
  Values values_;
};

}  // namespace

std::vector<Setting> compat_data_defaults(Compat version, CompatTrainer trainer) {
  const auto defaults = [&](const char* length, const char* prompt, const char* mode) {
    std::vector<Setting> out = {{"max_length", length, {"compat"}},
                                {"max_prompt_length", prompt, {"compat"}},
                                {"truncation_mode", mode, {"compat"}}};
    return out;
  };
  switch (version) {
    case Compat::none:
      return {};
    case Compat::trl_0_9:
      return defaults("512", "128", "keep_start");
    case Compat::trl_0_28:
      if (trainer == CompatTrainer::dpo) return defaults("1024", "512", "keep_end");
      break;
    case Compat::trl_1_9:
      break;
  }
  return defaults("1024", "null", "keep_start");
}

void apply_compat(Compat version, CompatTrainer trainer, ObjectiveChoice& choice,
                  std::vector<Setting>& settings) {
  if (version == Compat::none) return;
  Rewriting rewriting(version, choice, settings);
  trainer == CompatTrainer::dpo ? rewriting.dpo() : rewriting.simpo();
  std::vector<Setting> all = compat_data_defaults(version, trainer);
  all.insert(all.end(), settings.begin(), settings.end());
  settings = std::move(all);
}

}  // namespace pref
