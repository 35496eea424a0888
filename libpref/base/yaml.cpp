// SPDX-License-Identifier: Apache-2.0
// yaml-cpp's event parser feeds a handler that accepts one flat mapping and refuses the rest at its
// place, before any tree is built: aliases cannot expand and nesting cannot recurse far.
#include "libpref/base/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/option_text.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

using option_detail::shown;

constexpr size_t kMaxBytes = 1'000'000;

template <class... Parts>
[[noreturn]] void fail_at(const std::string& place, const Parts&... parts) {
  fail(ErrorKind::option, "config", place, ": ", parts...);
}

// yaml-cpp quotes single bytes of the file: a control character, or one of a longer character.
std::string in_words(std::string message) {
  for (size_t bad; (bad = find_invalid_utf8(message)) != std::string::npos;) {
    char code[5];
    std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(message[bad]));
    message.replace(bad, 1, code);
  }
  return option_detail::escaped_controls(message);
}

class SettingsHandler final : public YAML::EventHandler {
 public:
  explicit SettingsHandler(const std::string& path) : path_(path) {}
  std::vector<Setting> take() { return std::move(settings_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1)
      fail_at(place(mark), "one YAML document is required, a second one starts here. Remove it.");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    if (state_ == State::document) return;  // an empty file sets nothing
    if (state_ == State::key)
      fail_at(place(mark), "an option name is required before \":\", got null.");
    scalar("null", mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail_at(place(mark), "aliases (*name) are not allowed; write the value out.");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (state_ == State::document)
      fail_at(place(mark), "lines of the form \"option: value\" are required, got ", shown(value),
              ".");
    // "!" marks a quoted or block scalar: its words stand for themselves.
    scalar(state_ == State::key ? value : option_scalar(value, state_ == State::list, tag == "!"),
           mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (state_ == State::document)
      fail_at(place(mark), "lines of the form \"option: value\" are required, got a list.");
    if (state_ == State::key) fail_at(place(mark), "an option name is required, got a list.");
    if (state_ == State::list)
      fail_at(place(mark), "option ", shown(settings_.back().name),
              " must be a flat list, got a list in a list.");
    settings_.back().text = "[";
    state_ = State::list;
  }
  void OnSequenceEnd() override {
    settings_.back().text += "]";
    state_ = State::key;
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (state_ == State::key) fail_at(place(mark), "an option name is required, got a mapping.");
    if (state_ == State::list)
      fail_at(place(mark), "option ", shown(settings_.back().name),
              " must be a flat list, got a mapping in it.");
    if (state_ != State::document)
      fail_at(place(mark), "option ", shown(settings_.back().name),
              " must be a value or a list, got a nested mapping. Options are flat: "
              "write each on its own line without indentation.");
    state_ = State::key;
  }
  void OnMapEnd() override { state_ = State::document; }

  std::string place(const YAML::Mark& mark) const {
    if (mark.is_null()) return path_;
    return path_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  }
  /// Of the last option begun: what an error at the end of the file is about.
  std::string last_place() const {
    return settings_.empty() ? path_ : settings_.back().source.place;
  }

 private:
  enum class State { document, key, value, list };

  void scalar(const std::string& text, const YAML::Mark& mark) {
    if (state_ == State::key) {
      const auto [first, fresh] = places_.try_emplace(text, place(mark));
      if (!fresh)
        fail_at(place(mark), "option ", shown(text), " is given twice; the first is at ",
                first->second, ". Keep one of them.");
      settings_.push_back({text, "", {place(mark)}});
      state_ = State::value;
    } else if (state_ == State::value) {
      settings_.back().text = text;
      state_ = State::key;
    } else {
      std::string& list = settings_.back().text;
      list.append(list.size() > 1 ? ", " : "").append(text);
    }
  }
  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) const {
    if (anchor != 0)
      fail_at(place(mark),
              "anchors (&name) are not allowed; write the value out where it is needed.");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag != "?" && tag != "!" && !tag.empty())
      fail_at(place(mark), "tags are not allowed, got ", shown(tag),
              "; a value is read by its option's type.");
  }

  const std::string& path_;
  std::vector<Setting> settings_;
  std::map<std::string, std::string> places_;
  State state_ = State::document;
  int documents_ = 0;
};

}  // namespace

std::vector<Setting> parse_yaml_settings(std::string_view text, const std::string& path) {
  if (text.size() > kMaxBytes)
    fail_at(path, "must have at most ", kMaxBytes, " bytes, has ", text.size(), ".");
  size_t bad = std::min(find_invalid_utf8(text), text.find('\0'));
  if (bad != std::string_view::npos) {
    const std::string_view before = text.substr(0, bad);
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    fail_at(path + ":" + std::to_string(std::count(before.begin(), before.end(), '\n') + 1) + ":" +
                std::to_string(bad - line_start + 1),
            "must be UTF-8 text, byte ", bad, " is ", text[bad] == '\0' ? "a NUL" : "not", ".");
  }
  SettingsHandler handler(path);
  try {
    // yaml-cpp lets a quote that is never closed end with the file, swallowing what follows it, and
    // takes a last line without a colon for a name (jbeder/yaml-cpp#819). Neither happens when a
    // comment without a newline ends the text.
    std::istringstream stream{std::string(text) + "\n#"};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(handler)) {
    }
  } catch (const YAML::Exception& error) {
    const bool past_end = error.mark.line > std::count(text.begin(), text.end(), '\n');
    fail_at(past_end ? handler.last_place() : handler.place(error.mark),
            "not readable as YAML: ", in_words(error.msg), ". Correct it there.");
  }
  return handler.take();
}

std::vector<Setting> read_yaml_settings(const std::string& path) {
  const FileInfo info = posix_file_system().info(path);
  if (info.size > kMaxBytes)
    fail_at(path, "must have at most ", kMaxBytes, " bytes, has ", info.size, ".");
  return parse_yaml_settings(posix_file_system().read(path, kMaxBytes), path);
}

Setting parse_setting_argument(std::string_view argument) {
  const ValueSource source{"command line"};
  const size_t equals = argument.find('=');
  const std::string_view name = option_detail::trimmed(argument.substr(0, equals));
  if (equals == std::string_view::npos || name.empty())
    fail_at(source.place, "name=value is required, got ", shown(argument), ".");
  return {std::string(name), std::string(argument.substr(equals + 1)), source};
}

}  // namespace pref
