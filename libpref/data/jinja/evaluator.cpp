// SPDX-License-Identifier: Apache-2.0
// Statements; see evaluator.h.
#include "libpref/data/jinja/evaluator.h"

#include "libpref/data/jinja/loop.h"

namespace pref::jinja {

ScopePtr inner_scope(const ScopePtr& parent) {
  auto out = std::make_shared<Scope>();
  out->parent = parent;
  return out;
}

Evaluator::~Evaluator() {
  for (const ScopePtr& scope : held_) scope->values.clear();
}

std::string Evaluator::run(const Block& block) {
  std::string out;
  run_block(block, inner_scope(nullptr), out);
  return out;
}

void Evaluator::append(std::string& out, std::string_view text) {
  out += text;
  runtime_.budget.step(text.size() / 256);
  if (out.size() > runtime_.budget.limits().output) runtime_.budget.text(out.size());
}

Evaluator::Flow Evaluator::run_block(const Block& block, const ScopePtr& scope, std::string& out) {
  for (const auto& stmt : block)
    if (const Flow flow = run_statement(*stmt, scope, out); flow != Flow::on) return flow;
  return Flow::on;
}

Evaluator::Flow Evaluator::run_statement(const Stmt& stmt, const ScopePtr& scope,
                                         std::string& out) {
  runtime_.budget.step();
  if (stmt.action == Action::text) {
    append(out, stmt.text);
    return Flow::on;
  }
  try {
    const Deeper deeper(runtime_.budget);
    return run_action(stmt, scope, out);
  } catch (Failure& failure) {
    if (failure.line == 0) failure.line = stmt.line;
    throw;
  }
}

Evaluator::Flow Evaluator::run_action(const Stmt& stmt, const ScopePtr& scope, std::string& out) {
  switch (stmt.action) {
    case Action::text:
      break;
    case Action::print:
      append_text(runtime_.budget, out, evaluate(*stmt.parts[0], scope));
      break;
    case Action::branch: {
      size_t taken = 0;
      while (taken < stmt.parts.size() && !is_true(evaluate(*stmt.parts[taken], scope))) ++taken;
      return taken < stmt.blocks.size() ? run_block(stmt.blocks[taken], scope, out) : Flow::on;
    }
    case Action::loop:
      return run_loop(stmt, scope, out);
    case Action::assign:
      check_members(*stmt.targets[0], scope);
      assign(*stmt.targets[0], evaluate(*stmt.parts[0], scope), scope);
      break;
    case Action::macro:
      define_macro(stmt, scope);
      break;
    case Action::with: {
      Flow flow = Flow::on;
      run_with(stmt, scope, out, &flow);
      return flow;
    }
    case Action::assign_block:
    case Action::filter_block:
    case Action::generation:
      return run_capture(stmt, scope, out);
    case Action::leave_loop:
      return Flow::leave_loop;
    case Action::next_round:
      return Flow::next_round;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::run_loop(const Stmt& stmt, const ScopePtr& scope, std::string& out) {
  const Value through = evaluate(*stmt.parts[0], scope);
  auto loop = std::make_shared<Loop>();
  loop->budget = &runtime_.budget;
  loop->depth = through.depth() + 1;
  if (loop->depth > runtime_.budget.limits().depth)
    refuse("a loop over values nested deeper than ", runtime_.budget.limits().depth,
           " levels, the cap (TemplateLimits::depth)");
  auto values = std::make_shared<Values>(runtime_.budget, through);
  if (stmt.parts.size() == 1) {
    if (has_length(through)) loop->known_length = length(through);
    loop->source = [values](Value* value) { return values->next(value); };
  } else {
    loop->source = [this, values, scope, &stmt](Value* value) {
      while (values->next(value)) {
        const ScopePtr inner = inner_scope(scope);
        assign(*stmt.targets[0], *value, inner);
        if (is_true(evaluate(*stmt.parts[1], inner))) return true;
      }
      return false;
    };
  }
  const Value as_value = Value::object(Kind::loop, loop);
  // As in jinja2's compiled code, a round that ends in break or continue is none for the else.
  bool had_round = false;
  while (loop->advance()) {
    const ScopePtr inner = inner_scope(scope);
    inner->values.emplace("loop", as_value);
    assign(*stmt.targets[0], *loop->current, inner);
    const Flow flow = run_block(stmt.blocks[0], inner, out);
    if (flow == Flow::leave_loop) break;
    had_round = had_round || flow == Flow::on;
  }
  return had_round ? Flow::on : run_block(stmt.blocks[1], inner_scope(scope), out);
}

Evaluator::Flow Evaluator::run_capture(const Stmt& stmt, const ScopePtr& scope, std::string& out) {
  const ScopePtr inner = inner_scope(scope);
  std::string text;
  const Flow flow = run_block(stmt.blocks[0], inner, text);
  if (flow != Flow::on) return flow;  // a captured text is dropped when its loop goes on
  if (stmt.action == Action::generation) {
    append(out, text);
    return Flow::on;
  }
  Value value = Value::string(std::move(text));
  if (!stmt.parts.empty()) value = evaluate_block_filter(*stmt.parts[0], value, inner);
  if (stmt.action == Action::filter_block) {
    append_text(runtime_.budget, out, value);
  } else {
    check_members(*stmt.targets[0], scope);
    assign(*stmt.targets[0], value, scope);
  }
  return Flow::on;
}

void Evaluator::run_with(const Stmt& stmt, const ScopePtr& scope, std::string& out, Flow* flow) {
  const ScopePtr inner = inner_scope(scope);
  for (size_t i = 0; i < stmt.targets.size(); ++i)
    assign(*stmt.targets[i], evaluate(*stmt.parts[i], scope), inner);
  *flow = run_block(stmt.blocks[0], inner, out);
}

void Evaluator::check_members(const Expr& target, const ScopePtr& scope) {
  if (target.op == Op::member) find_namespace(target, scope);
  if (target.op == Op::tuple)
    for (const ExprPtr& part : target.parts) check_members(*part, scope);
}

Namespace& Evaluator::find_namespace(const Expr& target, const ScopePtr& scope) {
  const Value space = look_up(target.name, scope);
  if (!space.is(Kind::name_space))
    refuse("only a namespace takes attributes, and ", in_quotes(target.name), " is a ",
           type_name(space));
  if (target.value.text().starts_with("_"))
    refuse("a namespace takes no names that begin with an underscore");
  return space.name_space();  // the runtime keeps it
}

void Evaluator::assign(const Expr& target, const Value& value, const ScopePtr& scope) {
  if (target.op == Op::name) {
    scope->values.insert_or_assign(target.name, value);
  } else if (target.op == Op::member) {
    find_namespace(target, scope).attributes.set(runtime_.budget, target.value, value);
  } else {
    const std::vector<Value> values = all_values(runtime_.budget, value);
    if (values.size() != target.parts.size())
      refuse(target.parts.size(), " names are given ", values.size(), " values");
    for (size_t i = 0; i < values.size(); ++i) assign(*target.parts[i], values[i], scope);
  }
}

namespace {

struct Macro : Callable {
  Evaluator* evaluator = nullptr;
  const Stmt* stmt = nullptr;
  ScopePtr scope;
  Value call(Arguments& arguments) override {
    return evaluator->call_macro(*stmt, scope, arguments);
  }
  Value attribute(std::string_view wanted) const override {
    if (wanted == "name") return Value::string(name);
    if (wanted == "catch_kwargs") return Value::boolean(stmt->uses_kwargs);
    if (wanted == "catch_varargs") return Value::boolean(stmt->uses_varargs);
    return {};
  }
  std::string repr() const override { return "<Macro '" + name + "'>"; }
};

}  // namespace

void Evaluator::define_macro(const Stmt& stmt, const ScopePtr& scope) {
  auto macro = std::make_shared<Macro>();
  macro->name = stmt.text;
  macro->evaluator = this;
  macro->stmt = &stmt;
  macro->scope = scope;
  if (held_.empty() || held_.back() != scope) held_.push_back(scope);
  scope->values.insert_or_assign(stmt.text, Value::object(Kind::callable, std::move(macro)));
}

Value Evaluator::call_macro(const Stmt& macro, const ScopePtr& scope, Arguments& arguments) {
  constexpr int kLevelsPerCall = 5;
  const Deeper deeper(runtime_.budget, kLevelsPerCall);
  const ScopePtr inner = inner_scope(scope);
  const size_t count = macro.parameters.size();
  const size_t taken = std::min(count, arguments.positional.size());
  std::vector<bool> used(arguments.named.size(), false);
  for (size_t i = 0; i < taken; ++i)
    inner->values.insert_or_assign(macro.parameters[i], arguments.positional[i]);
  for (size_t i = taken; i < count; ++i) {
    const std::string& name = macro.parameters[i];
    std::optional<Value> value;
    for (size_t k = 0; k < arguments.named.size(); ++k)
      if (!used[k] && arguments.named[k].first == name) {
        value = arguments.named[k].second;
        used[k] = true;
      }
    const size_t without = count - macro.parts.size();
    if (!value && i >= without) value = evaluate(*macro.parts[i - without], inner);
    inner->values.insert_or_assign(
        name, value.value_or(
                  Value::undefined("the parameter " + in_quotes(name) + " is given no value")));
  }
  auto rest = std::make_shared<Dict>();
  for (size_t k = 0; k < used.size(); ++k) {
    const auto& [name, value] = arguments.named[k];
    if (used[k]) continue;
    if (!macro.uses_kwargs)
      refuse("the macro ", macro.text, " takes no argument of the name ", in_quotes(name));
    rest->set(runtime_.budget, Value::string(name), value);
  }
  if (arguments.positional.size() > count && !macro.uses_varargs)
    refuse("the macro ", macro.text, " takes at most ", count, " arguments, not ",
           arguments.positional.size());
  if (macro.uses_kwargs)
    inner->values.try_emplace("kwargs", make_dict(runtime_.budget, std::move(rest)));
  if (macro.uses_varargs)
    inner->values.try_emplace(
        "varargs", make_sequence(runtime_.budget,
                                 {arguments.positional.begin() + static_cast<ptrdiff_t>(taken),
                                  arguments.positional.end()},
                                 Sequence::Flavor::tuple));
  std::string out;
  run_block(macro.blocks[0], inner, out);
  return Value::string(std::move(out));
}

}  // namespace pref::jinja
