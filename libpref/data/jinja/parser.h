// SPDX-License-Identifier: Apache-2.0
// Tokens to the syntax tree, by jinja2's grammar with its loop controls and transformers'
// generation blocks. Tags that load other templates, and others that chat templates do not use, are
// refused by name.
#pragma once
#include <string_view>
#include <vector>

#include "libpref/data/jinja/ast.h"
#include "libpref/data/jinja/lexer.h"

namespace pref::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, const TemplateLimits& limits)
      : tokens_(std::move(tokens)), limits_(limits) {}

  /// The whole template. Throws Failure with the line.
  Block parse();

 private:
  // parser.cpp: statements
  Block parse_block(std::initializer_list<std::string_view> ends);
  Block parse_body(std::initializer_list<std::string_view> ends);
  std::unique_ptr<Stmt> parse_statement();
  std::unique_ptr<Stmt> parse_if();
  std::unique_ptr<Stmt> parse_for();
  std::unique_ptr<Stmt> parse_set();
  std::unique_ptr<Stmt> parse_macro();
  std::unique_ptr<Stmt> parse_filter_block();
  std::unique_ptr<Stmt> parse_with();
  std::unique_ptr<Stmt> parse_generation();
  std::unique_ptr<Stmt> parse_loop_control();
  [[noreturn]] void refuse_tag(const Token& tag) const;
  ExprPtr parse_target(std::string_view end, bool members);
  void check_target(const Expr& target) const;

  // parse_expression.cpp
  ExprPtr parse_expression() { return parse_condition(); }
  ExprPtr parse_condition();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_comparison();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter = true);
  ExprPtr parse_primary(bool members = false);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filters_and_tests(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr expr);
  ExprPtr parse_filter(ExprPtr expr, bool at_name = false);
  ExprPtr parse_test(ExprPtr expr);
  CallSyntax parse_call();
  struct TupleRules {
    bool targets = false, members = false, conditions = true, in_parentheses = false;
    std::string_view end;
  };
  ExprPtr parse_tuple(const TupleRules& rules);

  // tokens
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take();
  bool take_symbol(std::string_view symbol);
  bool take_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  const Token& expect_name();
  void expect(TokenKind kind);
  [[noreturn]] void fail_at(int line, const std::string& what) const { throw Failure{what, line}; }
  [[noreturn]] void fail_expected(std::string_view what) const;
  static std::string describe(const Token& token);

  ExprPtr make(Op op, int line, std::vector<ExprPtr> parts = {});
  /// Checks and stores the depth of a node whose operands are complete.
  ExprPtr finish(ExprPtr expr);

  // A filter or test that is not there is an error before anything runs, except in a branch.
  struct Missing {
    std::string what;
    int line;
    bool certain;
  };
  void forgive_since(size_t first);
  void make_certain_since(size_t first);
  std::vector<Missing> missing_;

  std::vector<Token> tokens_;
  const TemplateLimits& limits_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;         ///< for loops around, which may not assign to `loop`
  bool in_loop_ = false;  ///< break and continue have a loop to act on
  bool saw_varargs_ = false, saw_kwargs_ = false;
  friend class Nested;
};

/// One level of recursion in the parser.
class Nested {
 public:
  explicit Nested(Parser& parser);
  ~Nested() { --parser_.nesting_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  Parser& parser_;
};

}  // namespace pref::jinja
