// SPDX-License-Identifier: Apache-2.0
// See load_preferences.h. Lines are read in batches; a batch is parsed and tokenized by all
// threads; its outcomes are then taken in file order, so that reports, errors and rows do not
// depend on the number of threads.
#include "libpref/data/load_preferences.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <unordered_set>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/log.h"
#include "libpref/data/row_watcher.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "jsonl";
constexpr size_t kBatchLines = 2048;
constexpr size_t kBatchBytes = 8 << 20;

struct Outcome {
  std::string code, problem;  ///< of a row that cannot be used
  size_t problem_offset = 0;
  EncodedRow encoded;
  Dialect dialect = Dialect::automatic;
  std::vector<std::string> notes, extra_keys;
  uint32_t copies = 1;       ///< 0: the mixture leaves the row out
  std::exception_ptr fault;  ///< anything that is not the row's own
};

template <class Work>
void parallel_for(size_t count, size_t threads, const Work& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> pool;
  for (size_t t = 1; t < std::min(threads, count); ++t) pool.emplace_back(run);
  run();
  for (std::thread& thread : pool) thread.join();
}

/// rejects.jsonl, created with the first reject; an older one is replaced.
class Rejects {
 public:
  explicit Rejects(const DataOptions& options) {
    if (options.on_bad_row != BadRowPolicy::skip || options.watcher) return;
    require(!options.rejects_folder.empty(), ErrorKind::option, "data",
            "on_bad_row=skip requires rejects_folder, the folder for rejects.jsonl");
    folder_ = options.rejects_folder;
    path_ = join_path(folder_, "rejects.jsonl");
    const FileInfo old = posix_file_system().info(path_);
    require(!old.exists || old.is_regular, ErrorKind::cannot_create, "data", path_,
            ": is not a file; move it away");
    if (old.exists) posix_file_system().truncate(path_, 0);
  }
  void add(const std::string& file, const JsonlLine& line, const Outcome& outcome) {
    if (path_.empty()) return;
    if (!file_) {
      posix_file_system().make_directories(folder_);
      file_ = posix_file_system().append(path_);
    }
    const JsonlLine::Place place = line.place_of(outcome.problem_offset);
    file_->write(JsonObject()
                     .add("file", file)
                     .add("line", place.line)
                     .add("byte", place.offset)
                     .add("code", outcome.code)
                     .add("error", outcome.problem)
                     .str() +
                 "\n");
  }
  /// Returns the path of the finished file, "" when nothing was rejected.
  std::string finish() {
    if (!file_) return "";
    file_->sync();
    file_->close();
    return path_;
  }

 private:
  std::string path_, folder_;
  std::unique_ptr<WritableFile> file_;
};

class Loader {
 public:
  Loader(const Tokenizer& tokenizer, const DataOptions& options)
      : tokenizer_(tokenizer), options_(options), rejects_(options) {
    encode_.chat_format = options.chat_format == ChatFormat::automatic
                              ? parse_chat_format(tokenizer.chat_format())
                              : options.chat_format;
    if (options.chat_format == ChatFormat::automatic && !tokenizer.chat_template().empty())
      encode_.folder_template = std::make_shared<ChatTemplate>(tokenizer.chat_template());
    encode_.eos_policy = options.eos_policy;
    encode_.seam = options.seam;
    encode_.limits = {options.max_length, options.max_prompt_length, options.max_completion_length,
                      options.truncation_mode};
    dialect_ = {.dialect = options.dialect,
                .reference_response = options.reference_response,
                .hh_as_messages = options.chat_format != ChatFormat::automatic,
                .strict_turns = options.strict_turns,
                .prompt_only = options.prompt_only,
                .list_pairing = options.list_pairing,
                .ultrafeedback_score = options.ultrafeedback_score,
                .seed = options.data_seed};
    threads_ = static_cast<size_t>(options.preprocessing_num_workers);
    if (threads_ == 0) threads_ = std::max(1u, std::thread::hardware_concurrency());
    data_.report.tokenizer = tokenizer.kind();
    for (const auto& entry : enum_names(ChatFormat{}))
      if (entry.value == encode_.chat_format && entry.value != ChatFormat::automatic)
        data_.report.chat_format = std::string(entry.name);
    if (data_.report.chat_format.empty() && encode_.folder_template)
      data_.report.chat_format = "the folder's template";
  }

  /// The rows of an entry, each as often as its fraction says.
  void load_entry(const MixtureEntry& entry, size_t index) {
    copies_.clear();
    entry_row_ = 0;
    const int64_t read = data_.report.rows_read, used = data_.report.rows_used;
    if (entry.fraction != 1) {
      int64_t rows = 0;
      JsonlLine line;
      for (const std::string& path : entry.paths)
        for (JsonlReader reader(posix_file_system(), path); reader.next(line);) ++rows;
      copies_ = mixture_copies(rows, entry.fraction, options_.data_seed, index);
    }
    for (const std::string& path : entry.paths) load_file(path);
    DataReport& report = data_.report;
    if (entry.fraction != 1)
      report.mixture.push_back(
          {entry.name, entry.fraction, report.rows_read - read, report.rows_used - used});
  }

  PreferenceData finish() {
    DataReport& report = data_.report;
    report.rejects_path = rejects_.finish();
    report.check();
    require(report.rows_used > 0 || options_.watcher, ErrorKind::data, "data",
            "no row can be trained on. ", report.summary());
    data_.digest = digest_rows(data_.rows);
    return std::move(data_);
  }

 private:
  void load_file(const std::string& path) {
    data_.report.files.push_back(path);
    JsonlReader reader(posix_file_system(), path);
    std::vector<JsonlLine> batch;
    while (read_batch(reader, batch)) {
      std::vector<Outcome> outcomes(batch.size());
      for (Outcome& outcome : outcomes)
        if (!copies_.empty()) outcome.copies = copies_[entry_row_++];
      parallel_for(batch.size(), threads_, [&](size_t i) {
        if (outcomes[i].copies > 0) process(path, batch[i], outcomes[i]);
      });
      for (size_t i = 0; i < batch.size(); ++i) take(path, batch[i], outcomes[i]);
    }
    for (const auto& [code, count] : reader.notes()) data_.report.notes[code] += count;
  }

  bool read_batch(JsonlReader& reader, std::vector<JsonlLine>& batch) {
    batch.clear();
    size_t bytes = 0;
    while (batch.size() < kBatchLines && bytes < kBatchBytes &&
           (!options_.max_rows || rows_begun_ < *options_.max_rows)) {
      JsonlLine line;
      if (!reader.next(line)) break;
      ++rows_begun_;
      bytes += line.text.size();
      batch.push_back(std::move(line));
    }
    return !batch.empty();
  }

  void process(const std::string& path, const JsonlLine& line, Outcome& out) const {
    try {
      if (!line.code.empty()) throw RowError(line.code, line.problem_offset, line.problem);
      ParsedRow parsed = parse_row(line.text, dialect_);
      parsed.row.place = path + ":" + line.where();
      if (parsed.row.id.empty()) parsed.row.id = parsed.row.place;
      out.dialect = parsed.dialect;
      out.notes = parsed.notes;
      out.extra_keys = parsed.extra_keys;
      out.encoded = encode_row(parsed.row, tokenizer_, encode_);
      if (options_.watcher) options_.watcher->usable(parsed, out.encoded);
    } catch (const RowError& error) {
      if (options_.watcher)
        options_.watcher->unusable(path + ":" + line.where(), error);
      out.code = error.code;
      out.problem = error.what();
      out.problem_offset = error.offset;
    } catch (...) {
      out.fault = std::current_exception();
    }
  }

  void take(const std::string& path, const JsonlLine& line, Outcome& outcome) {
    if (outcome.fault) std::rethrow_exception(outcome.fault);
    ++data_.report.rows_read;
    if (outcome.copies == 0) {
      ++data_.report.skipped["not_sampled"];
      return;
    }
    if (outcome.code.empty()) check_kind(outcome);
    if (outcome.code.empty())
      use(outcome);
    else
      skip(path, line, outcome);
  }

  /// Preferences, unpaired and supervised rows need different objectives, so one data set holds one
  /// of them.
  static std::string_view kind_of(const TokenizedRow& row) {
    if (row.branches.empty()) return "a prompt-only";
    if (row.branches.size() > 1) return "a preference";
    return row.facts.desirable ? "an unpaired" : "a supervised";
  }
  void check_kind(Outcome& outcome) const {
    if (data_.rows.empty()) return;
    const TokenizedRow& first = data_.rows[0];
    const std::string_view kind = kind_of(outcome.encoded.row);
    if (kind == kind_of(first)) return;
    outcome.code = "mixed_rows";
    outcome.problem = "the row is " + std::string(kind) + " row, " + first.place + " is " +
                      std::string(kind_of(first)) + " row; keep them in data sets of their own";
  }

  void skip(const std::string& path, const JsonlLine& line, const Outcome& outcome) {
    const JsonlLine::Place place = line.place_of(outcome.problem_offset);
    const bool dropped =
        outcome.code == "too_long" && options_.truncation_mode == TruncationMode::drop;
    if (!dropped && options_.on_bad_row == BadRowPolicy::strict)
      fail(ErrorKind::data, kWhere, path, ":", place.line, ":", place.column, " (byte ",
           place.offset, "): ", outcome.problem,
           ". Fix the row or pass --on-bad-row=skip (writes rejects.jsonl).");
    ++data_.report.skipped[outcome.code];
    if (dropped) data_.report.dropped.push_back(path + ":" + line.where());
    rejects_.add(path, line, outcome);
  }

  void use(Outcome& outcome) {
    DataReport& report = data_.report;
    ++report.dialects[std::string(dialect_name(outcome.dialect))];
    for (const auto& note : outcome.notes) ++report.notes[note];
    for (const auto& note : outcome.encoded.notes) ++report.notes[note];
    for (const auto& key : outcome.extra_keys)
      if (++report.extra_keys[key] == 1) ++report.notes["extra_key"];
    const TruncationPlan& cut = outcome.encoded.truncation;
    report.truncation.prompts += cut.prompt_tokens_cut > 0;
    report.truncation.responses += cut.response_tokens_cut_left + cut.response_tokens_cut_right > 0;
    report.truncation.prompt_tokens += cut.prompt_tokens_cut;
    report.truncation.reference_prompt_tokens += cut.reference_tokens_cut;
    report.seam_tokens_moved += outcome.encoded.seam_tokens_moved;
    report.truncation.response_tokens_left += cut.response_tokens_cut_left;
    report.truncation.response_tokens_right += cut.response_tokens_cut_right;
    TokenizedRow& row = outcome.encoded.row;
    const auto prompt = static_cast<int64_t>(row.prompt.size());
    report.prompt_tokens += prompt * outcome.copies;
    report.response_tokens += (row.num_tokens() - prompt) * outcome.copies;
    report.longest_sequence = std::max(report.longest_sequence, prompt);
    for (const auto& branch : row.branches)
      report.longest_sequence =
          std::max(report.longest_sequence, prompt + static_cast<int64_t>(branch.size()));
    if (!seen_.insert(digest_rows({row})).second) ++report.notes["dup_row"];
    report.rows_used += outcome.copies;
    report.rows_repeated += outcome.copies - 1;
    for (uint32_t copy = 1; copy < outcome.copies; ++copy) data_.rows.push_back(row);
    data_.rows.push_back(std::move(row));
  }

  const Tokenizer& tokenizer_;
  const DataOptions& options_;
  EncodeOptions encode_;
  DialectOptions dialect_;
  size_t threads_ = 1;
  Rejects rejects_;
  int64_t rows_begun_ = 0;
  std::vector<uint32_t> copies_;  ///< of the rows of the present entry; empty: once each
  size_t entry_row_ = 0;
  std::unordered_set<std::string> seen_;  ///< 128-bit digests of the rows so far
  PreferenceData data_;
};

}  // namespace

std::string digest_rows(const std::vector<TokenizedRow>& rows) {
  std::string digests;
  std::vector<int32_t> flat;
  for (const TokenizedRow& row : rows) {
    flat.clear();
    const auto append = [&](const std::vector<int32_t>& ids) {
      flat.push_back(static_cast<int32_t>(ids.size()));
      flat.insert(flat.end(), ids.begin(), ids.end());
    };
    append(row.prompt);
    for (const auto& branch : row.branches) append(branch);
    if (!row.reference_prompt.empty()) {  // what the reference's log-probs depend on
      flat.push_back(-1);
      append(row.reference_prompt);
    }
    digests += fast_digest(flat.data(), flat.size() * sizeof(int32_t));
  }
  return fast_digest(digests.data(), digests.size());
}

const std::vector<std::string>& DataOptions::names() const {
  require(dataset_name.empty() || dataset_mixer.empty(), ErrorKind::option, "data",
          "dataset_name and dataset_mixer are both set; keep one of them");
  return dataset_mixer.empty() ? dataset_name : dataset_mixer;
}

PreferenceData load_preferences(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                const DataOptions& options) {
  check_options(options, "data");
  Loader loader(tokenizer, options);
  const std::vector<MixtureEntry> entries = parse_mixture(posix_file_system(), paths);
  for (size_t i = 0; i < entries.size(); ++i) loader.load_entry(entries[i], i);
  PreferenceData data = loader.finish();
  log_lines(LogLevel::info, data.report.summary());
  return data;
}

}  // namespace pref
