// SPDX-License-Identifier: Apache-2.0
// Statements; see parser.h.
#include "libpref/data/jinja/parser.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "libpref/data/jinja/builtins.h"

namespace pref::jinja {

Nested::Nested(Parser& parser) : parser_(parser) {
  if (parser_.nesting_ >= parser_.limits_.depth)
    parser_.fail_at(parser_.current().line, "nested deeper than " +
                                                std::to_string(parser_.limits_.depth) +
                                                " levels, the cap (TemplateLimits::depth)");
  ++parser_.nesting_;
}

const Token& Parser::take() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::take_symbol(std::string_view symbol) {
  if (!current().is_symbol(symbol)) return false;
  take();
  return true;
}

bool Parser::take_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

std::string Parser::describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::data:
      return "text";
    case TokenKind::variable_begin:
      return "{{";
    case TokenKind::variable_end:
      return "}}";
    case TokenKind::block_begin:
      return "{%";
    case TokenKind::block_end:
      return "%}";
    case TokenKind::string:
      return "a string";
    case TokenKind::integer:
    case TokenKind::real:
      return "a number";
    case TokenKind::end:
      return "the end of the template";
    case TokenKind::name:
      return in_quotes(token.text);
    case TokenKind::symbol:
      break;
  }
  return "\"" + token.text + "\"";
}

void Parser::fail_expected(std::string_view what) const {
  fail_at(current().line, std::string(what) + " is expected, not " + describe(current()));
}

void Parser::expect_symbol(std::string_view symbol) {
  if (!take_symbol(symbol)) fail_expected("\"" + std::string(symbol) + "\"");
}

const Token& Parser::expect_name() {
  if (!current().is(TokenKind::name)) fail_expected("a name");
  return take();
}

void Parser::expect(TokenKind kind) {
  if (!current().is(kind)) fail_expected(describe(Token{kind, 0, {}}));
  take();
}

void Parser::forgive_since(size_t first) {
  missing_.erase(std::remove_if(missing_.begin() + static_cast<ptrdiff_t>(first), missing_.end(),
                                [](const Missing& missing) { return !missing.certain; }),
                 missing_.end());
}

void Parser::make_certain_since(size_t first) {
  for (size_t i = first; i < missing_.size(); ++i) missing_[i].certain = true;
}

Block Parser::parse() {
  Block out = parse_block({});
  if (!missing_.empty()) fail_at(missing_[0].line, missing_[0].what);
  return out;
}

Block Parser::parse_block(std::initializer_list<std::string_view> ends) {
  const Nested nested(*this);
  Block out;
  while (!current().is(TokenKind::end)) {
    const Token& token = take();
    if (token.is(TokenKind::data)) {
      out.push_back(std::make_unique<Stmt>(Stmt{Action::text, token.line, token.text}));
    } else if (token.is(TokenKind::variable_begin)) {
      auto print = std::make_unique<Stmt>(Stmt{Action::print, token.line});
      print->parts.push_back(parse_tuple({}));
      out.push_back(std::move(print));
      expect(TokenKind::variable_end);
    } else {
      if (current().is(TokenKind::name) &&
          std::find(ends.begin(), ends.end(), current().text) != ends.end())
        return out;
      out.push_back(parse_statement());
      expect(TokenKind::block_end);
    }
  }
  if (ends.size() != 0)
    fail_at(current().line,
            "the template ends, and {% " + std::string(*(ends.end() - 1)) + " %} is still missing");
  return out;
}

/// The rest of an opening tag and the block up to one of `ends`, which is the next token.
Block Parser::parse_body(std::initializer_list<std::string_view> ends) {
  take_symbol(":");
  expect(TokenKind::block_end);
  return parse_block(ends);
}

void Parser::refuse_tag(const Token& tag) const {
  constexpr std::string_view kOutside[] = {"block", "extends", "include", "import", "from"};
  if (std::find(std::begin(kOutside), std::end(kOutside), tag.text) != std::end(kOutside))
    fail_at(tag.line, "{% " + tag.text +
                          " %} is not supported: a chat template is one text that loads no other");
  if (tag.text == "call" || tag.text == "autoescape")
    fail_at(tag.line, "{% " + tag.text + " %} is not supported");
  fail_at(tag.line, "an unknown or misplaced tag, " + in_quotes(tag.text));
}

std::unique_ptr<Stmt> Parser::parse_statement() {
  const Nested nested(*this);
  if (!current().is(TokenKind::name)) fail_expected("the name of a tag");
  const std::string& tag = current().text;
  if (tag == "if") return parse_if();
  if (tag == "for") return parse_for();
  if (tag == "set") return parse_set();
  if (tag == "macro") return parse_macro();
  if (tag == "filter") return parse_filter_block();
  if (tag == "with") return parse_with();
  if (tag == "generation") return parse_generation();
  if (tag == "break" || tag == "continue") return parse_loop_control();
  refuse_tag(current());
}

std::unique_ptr<Stmt> Parser::parse_if() {
  auto out = std::make_unique<Stmt>(Stmt{Action::branch, take().line});
  const size_t first_missing = missing_.size();
  while (true) {
    out->parts.push_back(parse_tuple({.conditions = false}));
    out->blocks.push_back(parse_body({"elif", "else", "endif"}));
    if (take_name("elif")) continue;
    if (take_name("else")) out->blocks.push_back(parse_body({"endif"}));
    take();  // endif
    break;
  }
  forgive_since(first_missing);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_for() {
  auto out = std::make_unique<Stmt>(Stmt{Action::loop, take().line});
  ++loops_;
  out->targets.push_back(parse_target("in", false));
  if (!take_name("in")) fail_expected("\"in\"");
  out->parts.push_back(parse_tuple({.conditions = false, .end = "recursive"}));
  const size_t first_missing = missing_.size();
  if (take_name("if")) out->parts.push_back(parse_expression());
  if (current().is_name("recursive")) fail_at(current().line, "recursive loops are not supported");
  const bool outer = std::exchange(in_loop_, true);
  out->blocks.push_back(parse_body({"else", "endfor"}));
  in_loop_ = outer;
  out->blocks.emplace_back();
  if (take_name("else")) out->blocks.back() = parse_body({"endfor"});
  take();  // endfor
  make_certain_since(first_missing);
  --loops_;
  return out;
}

void Parser::check_target(const Expr& target) const {
  if (target.op == Op::tuple) {
    for (const ExprPtr& part : target.parts) check_target(*part);
  } else if (target.op != Op::name && target.op != Op::member) {
    fail_at(target.line, "only names can be assigned to");
  } else if (target.op == Op::name && target.name == "loop" && loops_ > 0) {
    fail_at(target.line, "\"loop\" cannot be assigned to inside of a loop");
  }
}

ExprPtr Parser::parse_target(std::string_view end, bool members) {
  ExprPtr out = parse_tuple({.targets = true, .members = members, .end = end});
  check_target(*out);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_set() {
  auto out = std::make_unique<Stmt>(Stmt{Action::assign, take().line});
  out->targets.push_back(parse_target({}, true));
  if (take_symbol("=")) {
    out->parts.push_back(parse_tuple({}));
    return out;
  }
  out->action = Action::assign_block;
  const size_t first_missing = missing_.size();
  if (current().is_symbol("|")) out->parts.push_back(parse_filter(nullptr));
  out->blocks.push_back(parse_body({"endset"}));
  take();  // endset
  make_certain_since(first_missing);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_macro() {
  auto out = std::make_unique<Stmt>(Stmt{Action::macro, take().line});
  out->text = expect_name().text;
  const size_t first_missing = missing_.size();
  expect_symbol("(");
  std::unordered_set<std::string> names;
  while (!current().is_symbol(")")) {
    if (!out->parameters.empty()) expect_symbol(",");
    out->parameters.push_back(expect_name().text);
    if (!names.insert(out->parameters.back()).second)
      fail_at(current().line, "the parameter " + in_quotes(out->parameters.back()) + " stands twice");
    if (take_symbol("="))
      out->parts.push_back(parse_expression());
    else if (!out->parts.empty())
      fail_at(current().line, "a parameter without a default follows one with a default");
  }
  take();  // )
  const bool outer_loop = std::exchange(in_loop_, false);
  const bool outer_varargs = std::exchange(saw_varargs_, false);
  const bool outer_kwargs = std::exchange(saw_kwargs_, false);
  out->blocks.push_back(parse_body({"endmacro"}));
  take();  // endmacro
  in_loop_ = outer_loop;
  out->uses_varargs = std::exchange(saw_varargs_, outer_varargs);
  out->uses_kwargs = std::exchange(saw_kwargs_, outer_kwargs);
  make_certain_since(first_missing);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_filter_block() {
  auto out = std::make_unique<Stmt>(Stmt{Action::filter_block, take().line});
  const size_t first_missing = missing_.size();
  out->parts.push_back(parse_filter(nullptr, true));
  out->blocks.push_back(parse_body({"endfilter"}));
  take();  // endfilter
  make_certain_since(first_missing);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_with() {
  auto out = std::make_unique<Stmt>(Stmt{Action::with, take().line});
  while (!current().is(TokenKind::block_end) && !current().is_symbol(":")) {
    if (!out->targets.empty()) expect_symbol(",");
    // One target each: a comma begins the next assignment.
    ExprPtr target = parse_primary();
    check_target(*target);
    out->targets.push_back(std::move(target));
    expect_symbol("=");
    out->parts.push_back(parse_expression());
  }
  const size_t first_missing = missing_.size();
  out->blocks.push_back(parse_body({"endwith"}));
  take();  // endwith
  make_certain_since(first_missing);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_generation() {
  auto out = std::make_unique<Stmt>(Stmt{Action::generation, take().line});
  const size_t first_missing = missing_.size();
  // transformers makes a macro of the block, so a loop outside cannot be left from inside.
  const bool outer = std::exchange(in_loop_, false);
  out->blocks.push_back(parse_body({"endgeneration"}));
  take();  // endgeneration
  in_loop_ = outer;
  make_certain_since(first_missing);
  return out;
}

std::unique_ptr<Stmt> Parser::parse_loop_control() {
  const Token& tag = take();
  if (!in_loop_) fail_at(tag.line, "{% " + tag.text + " %} outside of a loop");
  return std::make_unique<Stmt>(
      Stmt{tag.text == "break" ? Action::leave_loop : Action::next_round, tag.line});
}

}  // namespace pref::jinja
