// SPDX-License-Identifier: Apache-2.0
#include "libpref/base/json_text.h"
#include "libpref/base/option_text.h"
#include "libpref/data/audit/inspect.h"

namespace pref::audit {
namespace {

std::string ids_json(const std::vector<int32_t>& ids) {
  JsonArray out;
  for (const int32_t id : ids) out.add(id);
  return out.str();
}

std::string list(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

/// Control characters made visible, so that a text cannot steer the terminal. A line break also
/// breaks the line.
std::string visible(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == '\n' ? std::string("\\n\n") : option_detail::escaped_controls({&c, 1});
  return out;
}

const char* ansi(const InspectedToken& token, size_t part) {
  if (!token.kept) return "\x1b[9;90m";  // struck out, grey
  if (token.special) return "\x1b[7m";   // reversed
  constexpr const char* kParts[] = {"\x1b[36m", "\x1b[32m", "\x1b[31m", "\x1b[35m"};
  return kParts[std::min<size_t>(part, 3)];
}

std::string tokens_text(const InspectedPart& part, size_t index, bool color) {
  std::string out;
  for (size_t i = 0; i < part.tokens.size(); ++i) {
    const InspectedToken& token = part.tokens[i];
    const std::string text = visible(token.text);
    if (color) {
      // Every second token is underlined: a boundary shows without a sign of its own.
      out += ansi(token, index) + std::string(i % 2 == 1 && !token.special ? "\x1b[4m" : "") +
             text + "\x1b[0m";
      continue;
    }
    std::string marked = token.special ? "[[" + text + "]]" : text;
    if (!token.kept) marked = "~" + marked + "~";
    out += (i == 0 ? "|" : "") + marked + "|";
  }
  return out.ends_with('\n') ? out : out + "\n";
}

}  // namespace

std::string inspect_json(const InspectedRow& row) {
  JsonArray notes, parts, seams;
  for (const std::string& note : row.notes) notes.add(note);
  for (const InspectedPart& part : row.parts) {
    JsonArray tokens;
    for (const InspectedToken& token : part.tokens)
      tokens.add_raw(JsonObject()
                         .add("id", token.id)
                         .add("text", token.text)
                         .add("special", token.special)
                         .add("kept", token.kept)
                         .add("trained", token.trained)
                         .str());
    parts.add_raw(JsonObject()
                      .add("name", part.name)
                      .add("length", part.tokens.size())
                      .add("kept", part.kept())
                      .add_raw("tokens", tokens.str())
                      .str());
  }
  for (const InspectedSeam& seam : row.seams)
    seams.add_raw(JsonObject()
                      .add("part", seam.part)
                      .add_raw("before", ids_json(seam.before))
                      .add_raw("after", ids_json(seam.after))
                      .add("merges", seam.merges)
                      .add_raw("together", ids_json(seam.together))
                      .str());
  return JsonObject()
      .add("row", row.row)
      .add("place", row.place)
      .add("id", row.id)
      .add("layout", row.layout)
      .add("usable", row.usable())
      .add("code", row.code)
      .add("problem", row.problem)
      .add_raw("notes", notes.str())
      .add_raw("parts", parts.str())
      .add_raw("seams", seams.str())
      .str();
}

std::string inspect_text(const InspectedRow& row, bool color) {
  std::string out = "row " + std::to_string(row.row) + ", " + row.place;
  if (!row.id.empty() && row.id != row.place)
    out += ", id " + option_detail::escaped_controls(row.id);
  if (!row.layout.empty()) out += ", layout " + row.layout;
  out += "\n";
  if (!row.usable()) out += "cannot be used (" + row.code + "): " + row.problem + "\n";
  if (!row.notes.empty()) out += "notes: " + list(row.notes) + "\n";
  if (row.parts.empty()) return out;
  if (!color) out += "tokens between bars: [[special]], ~cut~\n";
  for (size_t i = 0; i < row.parts.size(); ++i) {
    const InspectedPart& part = row.parts[i];
    const auto length = static_cast<int64_t>(part.tokens.size());
    out += "\n" + part.name + ": " + std::to_string(length) + " tokens";
    if (part.kept() < length) out += ", " + std::to_string(length - part.kept()) + " cut";
    out += i == 0 ? ", none trained on"
                  : ", " + std::to_string(row.usable() ? part.kept() : 0) + " trained on";
    out += "\n" + tokens_text(part, i, color);
    if (i == 0) continue;
    const InspectedSeam& seam = row.seams[i - 1];
    out += "seam: ... " + ids_json(seam.before) + " | " + ids_json(seam.after) + " ...";
    if (seam.merges)
      out += "\n  tokenized together, a token would span it: from the first that differs " +
             ids_json(seam.together) + " ...";
    out += "\n";
  }
  return out;
}

}  // namespace pref::audit
