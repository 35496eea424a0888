// SPDX-License-Identifier: Apache-2.0
// CSV (RFC 4180) with a header row to JSON objects. Cells are strings, save those that hold JSON
// messages (a list or an object) and those of columns that are numbers, truth values or JSON by
// their meaning; of these an empty cell is left out.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/data/files/row_splitter.h"
#include "libpref/data/json_row.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

constexpr std::array kTyped = {"label",         "kto_tag",       "weight",
                               "margin",        "scores",        "win_probability",
                               "history",       "tools",         "chat_template_kwargs",
                               "token_rewards", "ratings",       "rating",
                               "responses",     "generations",   "completions",
                               "answers",       "conversations", "messages",
                               "context"};

constexpr size_t kMaxColumns = 1000;

bool is_typed(std::string_view column) {
  for (const std::string_view part :
       {"score_", "_score", "rating_", "_rating", "-rating", "_reward", "win_probability"})
    if (column.starts_with(part) || column.ends_with(part)) return true;
  return std::find(kTyped.begin(), kTyped.end(), column) != kTyped.end();
}

struct Cell {
  std::string text;
  bool quoted = false;
  JsonlLine::Anchor anchor;
};

/// The cell's text as JSON; nullopt where it is none.
std::optional<JsonValue> as_json(const std::string& text) {
  try {
    return parse_json_row(text);
  } catch (const RowError&) {
    return std::nullopt;
  }
}

class CsvRows final : public RowSplitter {
 public:
  explicit CsvRows(const SplitterInputs& in) : in_(in) {}

  bool next(JsonlLine& line) override {
    if (columns_.empty() && !read_header()) return false;
    std::vector<Cell> cells;
    line = {};
    if (!read_record(cells, line)) return false;
    if (!line.code.empty()) return true;
    if (cells.size() != columns_.size()) {
      set_problem(line, "bad_csv", 0,
                  "the row has " + std::to_string(cells.size()) + " fields, the header has " +
                      std::to_string(columns_.size()) +
                      ". A field with a comma, quote or line end stands in quotes");
      return true;
    }
    write_object(cells, line);
    return true;
  }

 private:
  bool read_header() {
    constexpr std::string_view kMark = "\xEF\xBB\xBF";
    if (in_.bytes.peek() == 0xEF) {
      for (size_t i = 0; i < kMark.size(); ++i) in_.bytes.get();
      ++in_.notes["bom"];
    }
    JsonlLine line;
    std::vector<Cell> cells;
    if (!read_record(cells, line)) return false;
    const auto refuse = [&](const auto&... parts) {
      fail(ErrorKind::data, "jsonl", in_.path, ":", line.number, ":1: ", parts...,
           ". The first row of a CSV file names the columns");
    };
    if (!line.code.empty()) refuse(line.problem);
    if (cells.size() > kMaxColumns) refuse("more than ", kMaxColumns, " columns");
    for (const Cell& cell : cells) {
      if (!cell.text.empty() &&
          std::find(columns_.begin(), columns_.end(), cell.text) != columns_.end())
        refuse("the column ", escape_text(cell.text), " stands twice");
      columns_.push_back(cell.text);
    }
    return true;
  }

  /// The cells up to the end of the record. False at the end of the file.
  bool read_record(std::vector<Cell>& cells, JsonlLine& line) {
    skip_blank_lines();
    if (in_.bytes.peek() < 0) return false;
    line.number = in_.bytes.line();
    line.offset = in_.bytes.position();
    size_ = 0;
    for (;;) {
      read_cell(cells.emplace_back(), line);
      const int end = in_.bytes.peek();
      if (end == ',') {
        in_.bytes.get();
        if (++size_ > in_.limits.max_line_bytes) cells.clear();  // refused below
        continue;
      }
      if (end < 0) ++in_.notes["no_final_newline"];
      if (end == '\r') {
        in_.bytes.get();
        in_.notes["crlf"] += in_.bytes.peek() == '\n';
      }
      if (in_.bytes.peek() == '\n') in_.bytes.get();
      break;
    }
    if (size_ > in_.limits.max_line_bytes && line.code.empty())
      set_problem(line, "line_too_long", 0,
                  "the row has " + std::to_string(size_) + " bytes, at most " +
                      std::to_string(in_.limits.max_line_bytes) + " are read");
    return true;
  }

  void skip_blank_lines() {
    for (int byte = in_.bytes.peek(); byte == '\n' || byte == '\r'; byte = in_.bytes.peek()) {
      in_.notes["blank"] += byte == '\n';
      in_.bytes.get();
    }
  }

  void keep(Cell& cell, int byte) {
    if (++size_ <= in_.limits.max_line_bytes) cell.text += static_cast<char>(byte);
  }

  void problem(JsonlLine& line, std::string text) const {
    if (!line.code.empty()) return;
    line.anchors = {{0, in_.bytes.line(), in_.bytes.column(), in_.bytes.position()}};
    set_problem(line, "bad_csv", 0, std::move(text));
  }

  void read_cell(Cell& cell, JsonlLine& line) {
    cell.anchor = {0, in_.bytes.line(), in_.bytes.column(), in_.bytes.position()};
    const auto ends = [](int byte) {
      return byte < 0 || byte == ',' || byte == '\n' || byte == '\r';
    };
    if (in_.bytes.peek() == '"') {
      in_.bytes.get();
      cell.quoted = true;
      for (;;) {
        const int byte = in_.bytes.get();
        if (byte < 0) return problem(line, "the file ends inside of a quoted field");
        if (byte != '"') {
          keep(cell, byte);
        } else if (in_.bytes.peek() == '"') {
          keep(cell, in_.bytes.get());
        } else {
          break;
        }
      }
      if (!ends(in_.bytes.peek()))
        problem(line,
                "text follows the closing quote of a field. A quote inside of a field is "
                "written twice");
    }
    for (int byte = in_.bytes.peek(); !ends(byte); byte = in_.bytes.peek()) {
      if (byte == '"')
        problem(line,
                "a quote stands in a field without quotes. Put the field in "
                "quotes and write the inner quote twice");
      keep(cell, in_.bytes.get());
    }
  }

  void write_object(const std::vector<Cell>& cells, JsonlLine& line) const {
    line.text = "{";
    for (size_t i = 0; i < cells.size(); ++i) {
      const Cell& cell = cells[i];
      if (columns_[i].empty()) continue;  // the index that pandas writes
      JsonlLine judged{.text = cell.text};
      if (judge_text(judged, cell.text.size(), in_.limits)) {
        line.anchors = {cell.anchor};
        return set_problem(line, judged.code, 0, judged.problem);
      }
      const std::optional<std::string> value = value_of(columns_[i], cell, line);
      if (!line.code.empty()) return;
      if (!value) continue;
      if (line.text.size() > 1) line.text += ',';
      JsonlLine::Anchor anchor = cell.anchor;
      anchor.text_offset = line.text.size();
      line.anchors.push_back(anchor);
      line.text += json_value(columns_[i]) + ':' + *value;
    }
    line.text += '}';
    if (line.anchors.empty()) line.anchors = {{0, line.number, 1, line.offset}};
  }

  /// The cell as JSON text; nullopt leaves its key out.
  std::optional<std::string> value_of(const std::string& column, const Cell& cell,
                                      JsonlLine& line) const {
    const bool typed = is_typed(column);
    const std::string& text = cell.text;
    if (typed && text.empty()) return std::nullopt;
    const char first = text.empty() ? ' ' : text[0];
    if (first == '[' || first == '{') {
      const std::optional<JsonValue> json = as_json(text);
      const bool messages =
          json && (json->find("role") != nullptr || json->find("from") != nullptr ||
                   (!json->items.empty() && json->items[0].is_object()));
      if (json && (typed || messages)) return text;
      if (text.starts_with("[{'") || text.starts_with("{'")) {
        line.anchors = {cell.anchor};
        set_problem(line, "bad_csv", 0,
                    "the field " + escape_text(column) +
                        " holds a list as Python prints it, JSON is required: write the cell with "
                        "json.dumps");
        return std::nullopt;
      }
    }
    if (typed && (text == "True" || text == "true")) return "true";
    if (typed && (text == "False" || text == "false")) return "false";
    if (typed)
      if (const std::optional<JsonValue> json = as_json(text); json && json->is_number())
        return json->text;
    return json_value(text);
  }

  SplitterInputs in_;
  std::vector<std::string> columns_;
  uint64_t size_ = 0;
};

}  // namespace

std::unique_ptr<RowSplitter> split_csv(const SplitterInputs& in) {
  return std::make_unique<CsvRows>(in);
}

}  // namespace pref
