// SPDX-License-Identifier: Apache-2.0
// See load_preferences.h. Lines are read in batches; a batch is parsed and tokenized by all
// threads; its outcomes are then taken in file order, so that reports, errors and rows do not
// depend on the number of threads.
#include "libpref/data/load_preferences.h"

#include <fnmatch.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <unordered_set>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/log.h"

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
    if (options.on_bad_row != BadRowPolicy::skip) return;
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
    file_->write(JsonObject()
                     .add("file", file)
                     .add("line", line.number)
                     .add("byte", line.offset + outcome.problem_offset)
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
    if (encode_.chat_format == ChatFormat::automatic && !tokenizer.chat_template().empty())
      encode_.folder_template = std::make_shared<ChatTemplate>(tokenizer.chat_template());
    encode_.eos_policy = options.eos_policy;
    encode_.limits = {options.max_length, options.max_prompt_length, options.max_completion_length,
                      options.truncation_mode};
    dialect_ = {.dialect = options.dialect,
                .reference_response = options.reference_response,
                .hh_as_messages = options.chat_format != ChatFormat::automatic,
                .strict_turns = options.strict_turns};
    threads_ = static_cast<size_t>(options.preprocessing_num_workers);
    if (threads_ == 0) threads_ = std::max(1u, std::thread::hardware_concurrency());
    data_.report.tokenizer = tokenizer.kind();
    for (const auto& entry : enum_names(ChatFormat{}))
      if (entry.value == encode_.chat_format && entry.value != ChatFormat::automatic)
        data_.report.chat_format = std::string(entry.name);
    if (encode_.folder_template) data_.report.chat_format = "the folder's template";
  }

  void load_file(const std::string& path) {
    data_.report.files.push_back(path);
    JsonlReader reader(posix_file_system(), path);
    std::vector<JsonlLine> batch;
    while (read_batch(reader, batch)) {
      std::vector<Outcome> outcomes(batch.size());
      parallel_for(batch.size(), threads_, [&](size_t i) { process(path, batch[i], outcomes[i]); });
      for (size_t i = 0; i < batch.size(); ++i) take(path, batch[i], outcomes[i]);
    }
    for (const auto& [code, count] : reader.notes()) data_.report.notes[code] += count;
  }

  PreferenceData finish() {
    DataReport& report = data_.report;
    report.rejects_path = rejects_.finish();
    report.rows_used = static_cast<int64_t>(data_.rows.size());
    report.check();
    require(report.rows_used > 0, ErrorKind::data, "data", "no row can be trained on. ",
            report.summary());
    data_.digest = digest_rows(data_.rows);
    return std::move(data_);
  }

 private:
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
      parsed.row.place = path + ":" + std::to_string(line.number);
      if (parsed.row.id.empty()) parsed.row.id = parsed.row.place;
      out.dialect = parsed.dialect;
      out.notes = std::move(parsed.notes);
      out.extra_keys = std::move(parsed.extra_keys);
      out.encoded = encode_row(parsed.row, tokenizer_, encode_);
    } catch (const RowError& error) {
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
    if (outcome.code.empty()) check_branch_count(outcome);
    if (outcome.code.empty())
      use(outcome);
    else
      skip(path, line, outcome);
  }

  /// Supervised rows and pairs need different objectives, so one data set holds one of them.
  void check_branch_count(Outcome& outcome) const {
    if (data_.rows.empty()) return;
    const TokenizedRow& first = data_.rows[0];
    const bool supervised = first.branches.size() == 1;
    if ((outcome.encoded.row.branches.size() == 1) == supervised) return;
    outcome.code = "mixed_rows";
    outcome.problem = std::string("the row is ") + (supervised ? "a preference" : "a supervised") +
                      " row, " + first.place + " is not; keep them in data sets of their own";
  }

  void skip(const std::string& path, const JsonlLine& line, const Outcome& outcome) {
    const bool dropped =
        outcome.code == "too_long" && options_.truncation_mode == TruncationMode::drop;
    if (!dropped && options_.on_bad_row == BadRowPolicy::strict)
      fail(ErrorKind::data, kWhere, path, ":", line.number, ":", outcome.problem_offset + 1,
           " (byte ", line.offset + outcome.problem_offset, "): ", outcome.problem,
           ". Fix the row or pass --on-bad-row=skip (writes rejects.jsonl).");
    ++data_.report.skipped[outcome.code];
    if (dropped) data_.report.dropped.push_back(path + ":" + std::to_string(line.number));
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
    report.truncation.response_tokens_left += cut.response_tokens_cut_left;
    report.truncation.response_tokens_right += cut.response_tokens_cut_right;
    TokenizedRow& row = outcome.encoded.row;
    const auto prompt = static_cast<int64_t>(row.prompt.size());
    report.prompt_tokens += prompt;
    report.response_tokens += row.num_tokens() - prompt;
    for (const auto& branch : row.branches)
      report.longest_sequence =
          std::max(report.longest_sequence, prompt + static_cast<int64_t>(branch.size()));
    if (!seen_.insert(digest_rows({row})).second) ++report.notes["dup_row"];
    data_.rows.push_back(std::move(row));
  }

  const Tokenizer& tokenizer_;
  const DataOptions& options_;
  EncodeOptions encode_;
  DialectOptions dialect_;
  size_t threads_ = 1;
  Rejects rejects_;
  int64_t rows_begun_ = 0;
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
    if (!row.reference_prompt.empty()) append(row.reference_prompt);
    digests += fast_digest(flat.data(), flat.size() * sizeof(int32_t));
  }
  return fast_digest(digests.data(), digests.size());
}

std::vector<std::string> expand_dataset_names(FileSystem& files,
                                              const std::vector<std::string>& names) {
  require(!names.empty(), ErrorKind::option, "data", "no data set is named; set dataset_name");
  std::vector<std::string> out;
  for (const std::string& name : names) {
    const FileInfo info = files.info(name);
    if (info.exists && !info.is_directory) {
      out.push_back(name);
      continue;
    }
    std::string folder = name;
    std::vector<std::string> patterns{"*.jsonl", "*.jsonl.gz"};
    if (!info.exists) {
      const size_t slash = name.rfind('/');
      folder = slash == std::string::npos ? "." : name.substr(0, std::max<size_t>(slash, 1));
      patterns = {slash == std::string::npos ? name : name.substr(slash + 1)};
      require(patterns[0].find_first_of("*?[") != std::string::npos, ErrorKind::missing_input,
              "data", name, ": no such file or folder");
      require(files.info(folder).is_directory, ErrorKind::missing_input, "data", name,
              ": no folder ", folder);
    }
    const size_t before = out.size();
    for (const std::string& entry : files.list(folder))
      for (const std::string& pattern : patterns)
        if (fnmatch(pattern.c_str(), entry.c_str(), FNM_PERIOD) == 0)
          out.push_back(folder == "." && name.find('/') == std::string::npos
                            ? entry
                            : join_path(folder, entry));
    require(out.size() > before, ErrorKind::missing_input, "data", name, ": no file matches ",
            patterns[0]);
  }
  return out;
}

PreferenceData load_preferences(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                const DataOptions& options) {
  check_options(options, "data");
  Loader loader(tokenizer, options);
  for (const std::string& path : expand_dataset_names(posix_file_system(), paths))
    loader.load_file(path);
  PreferenceData data = loader.finish();
  log_lines(LogLevel::info, data.report.summary());
  return data;
}

}  // namespace pref
