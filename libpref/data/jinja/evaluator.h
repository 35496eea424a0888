// SPDX-License-Identifier: Apache-2.0
// Runs a template's syntax tree. Scopes are jinja2's: loops, macros, with and captured blocks have
// their own, branches do not, so that what is set in a loop is gone at its next round.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "libpref/data/jinja/ast.h"
#include "libpref/data/jinja/builtins.h"

namespace pref::jinja {

struct Scope {
  std::shared_ptr<Scope> parent;
  std::unordered_map<std::string, Value> values;
};
using ScopePtr = std::shared_ptr<Scope>;

class Evaluator {
 public:
  /// `variables`: a dict, seen where the template sets nothing of that name.
  Evaluator(Runtime& runtime, const Value& variables) : runtime_(runtime), variables_(variables) {}
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  /// The text. Throws Failure with the line.
  std::string run(const Block& block);

  /// evaluate.cpp
  Value evaluate(const Expr& expr, const ScopePtr& scope);
  Value call_macro(const Stmt& macro, const ScopePtr& scope, Arguments& arguments);

 private:
  enum class Flow { on, next_round, leave_loop };
  Flow run_block(const Block& block, const ScopePtr& scope, std::string& out);
  Flow run_statement(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  Flow run_action(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  Flow run_loop(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  Flow run_capture(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  void run_with(const Stmt& stmt, const ScopePtr& scope, std::string& out, Flow* flow);
  void define_macro(const Stmt& stmt, const ScopePtr& scope);
  void assign(const Expr& target, const Value& value, const ScopePtr& scope);
  void check_members(const Expr& target, const ScopePtr& scope);
  Namespace& find_namespace(const Expr& target, const ScopePtr& scope);
  void append(std::string& out, std::string_view text);

  Value evaluate_node(const Expr& expr, const ScopePtr& scope);
  Value look_up(const std::string& name, const ScopePtr& scope);
  Value evaluate_comparison(const Expr& expr, const ScopePtr& scope);
  Value evaluate_call(const Expr& expr, const ScopePtr& scope);
  Value evaluate_filter(const Expr& expr, const Value& input, const ScopePtr& scope);
  Value evaluate_block_filter(const Expr& expr, const Value& input, const ScopePtr& scope);
  Arguments evaluate_arguments(const CallSyntax& call, const ScopePtr& scope);

  Runtime& runtime_;
  const Value& variables_;
  std::vector<ScopePtr> held_;  ///< scopes that macros refer to, emptied at the end
};

/// New lists and the like that a scope hands out.
ScopePtr inner_scope(const ScopePtr& parent);

}  // namespace pref::jinja
