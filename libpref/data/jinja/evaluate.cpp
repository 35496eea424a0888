// SPDX-License-Identifier: Apache-2.0
// Expressions; see evaluator.h.
#include "libpref/data/jinja/evaluator.h"

namespace pref::jinja {

Value Evaluator::look_up(const std::string& name, const ScopePtr& scope) {
  for (const Scope* at = scope.get(); at != nullptr; at = at->parent.get())
    if (const auto found = at->values.find(name); found != at->values.end()) return found->second;
  if (const Value* found = variables_.dict().find(name)) return *found;
  if (auto found = find_function(runtime_, name)) return *found;
  return Value::undefined(in_quotes(name) + " is undefined");
}

Value Evaluator::evaluate(const Expr& expr, const ScopePtr& scope) {
  runtime_.budget.step();
  if (expr.op == Op::constant) return expr.value;
  try {
    const Deeper deeper(runtime_.budget);
    return evaluate_node(expr, scope);
  } catch (Failure& failure) {
    if (failure.line == 0) failure.line = expr.line;
    throw;
  }
}

Value Evaluator::evaluate_node(const Expr& expr, const ScopePtr& scope) {
  const auto part = [&](size_t index) { return evaluate(*expr.parts[index], scope); };
  switch (expr.op) {
    case Op::constant:
      return expr.value;
    case Op::name:
      return look_up(expr.name, scope);
    case Op::member:
      break;
    case Op::tuple:
    case Op::list: {
      std::vector<Value> items;
      items.reserve(expr.parts.size());
      for (size_t i = 0; i < expr.parts.size(); ++i) items.push_back(part(i));
      return make_sequence(runtime_.budget, std::move(items),
                           expr.op == Op::list ? Sequence::Flavor::list : Sequence::Flavor::tuple);
    }
    case Op::dict: {
      auto dict = std::make_shared<Dict>();
      for (size_t i = 0; i + 1 < expr.parts.size(); i += 2) {
        Value key = part(i);
        dict->set(runtime_.budget, std::move(key), part(i + 1));
      }
      return make_dict(runtime_.budget, std::move(dict));
    }
    case Op::negative:
      return negative(part(0));
    case Op::positive:
      return positive(part(0));
    case Op::negation:
      return Value::boolean(!is_true(part(0)));
    case Op::both: {
      Value left = part(0);
      return is_true(left) ? part(1) : left;
    }
    case Op::either: {
      Value left = part(0);
      return is_true(left) ? left : part(1);
    }
    case Op::concat: {
      std::string out;
      for (size_t i = 0; i < expr.parts.size(); ++i) append_text(runtime_.budget, out, part(i));
      return Value::string(std::move(out));
    }
    case Op::compare:
      return evaluate_comparison(expr, scope);
    case Op::condition:
      if (is_true(part(0))) return part(1);
      if (expr.parts.size() == 3) return part(2);
      return Value::undefined(
          "an inline if without else has no value where its condition is false");
    case Op::attribute:
      return get_attribute(runtime_, part(0), expr.name);
    case Op::item: {
      const Value container = part(0);
      return get_item(runtime_, container, part(1));
    }
    case Op::slice: {
      const Value container = part(0);
      Value bounds[3];
      for (size_t i = 0; i < 3; ++i)
        if (expr.parts[i + 1]) bounds[i] = part(i + 1);
      const auto bound = [&](size_t i) { return expr.parts[i + 1] ? &bounds[i] : nullptr; };
      return slice(runtime_.budget, container, bound(0), bound(1), bound(2));
    }
    case Op::call:
      return evaluate_call(expr, scope);
    case Op::filter:
      return evaluate_filter(expr, part(0), scope);
    case Op::test: {
      const Test test = find_test(expr.name);
      if (test == nullptr) refuse(unknown_test(expr.name));
      const Value value = part(0);
      Arguments arguments = evaluate_arguments(expr.call, scope);
      return Value::boolean(test(runtime_, value, arguments));
    }
    default: {
      const Value left = part(0);
      return binary(runtime_.budget, expr.op, left, part(1));
    }
  }
  refuse("a target where a value belongs");
}

Value Evaluator::evaluate_comparison(const Expr& expr, const ScopePtr& scope) {
  Budget& budget = runtime_.budget;
  Value left = evaluate(*expr.parts[0], scope);
  for (size_t i = 0; i < expr.relations.size(); ++i) {
    const Value right = evaluate(*expr.parts[i + 1], scope);
    bool holds = false;
    switch (expr.relations[i]) {
      case Relation::eq:
        holds = equal(budget, left, right);
        break;
      case Relation::ne:
        holds = !equal(budget, left, right);
        break;
      case Relation::in:
        holds = contains(budget, right, left);
        break;
      case Relation::not_in:
        holds = !contains(budget, right, left);
        break;
      default: {
        const Order order = compare(budget, left, right);
        const bool same = order == Order::equal;
        switch (expr.relations[i]) {
          case Relation::lt:
            holds = order == Order::less;
            break;
          case Relation::le:
            holds = same || order == Order::less;
            break;
          case Relation::gt:
            holds = order == Order::greater;
            break;
          default:
            holds = same || order == Order::greater;
            break;
        }
      }
    }
    if (!holds) return Value::boolean(false);
    left = right;
  }
  return Value::boolean(true);
}

Arguments Evaluator::evaluate_arguments(const CallSyntax& call, const ScopePtr& scope) {
  Arguments out;
  for (const ExprPtr& expr : call.positional) out.positional.push_back(evaluate(*expr, scope));
  for (const auto& [name, expr] : call.named) out.named.emplace_back(name, evaluate(*expr, scope));
  if (call.more_positional) {
    Values values(runtime_.budget, evaluate(*call.more_positional, scope));
    for (Value value; values.next(&value);) out.positional.push_back(value);
  }
  if (call.more_named) {
    const Value more = evaluate(*call.more_named, scope);
    if (!more.is(Kind::dict)) refuse("** takes a dict, not a ", type_name(more));
    for (const auto& [key, value] : more.dict().items) {
      if (!key.is(Kind::string)) refuse("the names of arguments are texts");
      out.named.emplace_back(key.text(), value);
    }
  }
  runtime_.budget.elements(out.positional.size() + out.named.size());
  for (size_t i = 0; i < out.named.size(); ++i)
    for (size_t k = 0; k < i; ++k) {
      runtime_.budget.step();
      if (out.named[k].first == out.named[i].first)
        refuse("the argument ", in_quotes(out.named[i].first), " is given twice");
    }
  return out;
}

Value Evaluator::evaluate_call(const Expr& expr, const ScopePtr& scope) {
  const Value callee = evaluate(*expr.parts[0], scope);
  Arguments arguments = evaluate_arguments(expr.call, scope);
  if (callee.is_undefined()) refuse(callee.why_undefined());
  if (callee.is(Kind::loop)) refuse("loop(...) calls a recursive loop, which is not supported");
  if (!callee.is(Kind::callable)) refuse("a ", type_name(callee), " cannot be called");
  return callee.callable().call(arguments);
}

Value Evaluator::evaluate_filter(const Expr& expr, const Value& input, const ScopePtr& scope) {
  const Filter filter = find_filter(expr.name);
  if (filter == nullptr) refuse(unknown_filter(expr.name));
  Arguments arguments = evaluate_arguments(expr.call, scope);
  return filter(runtime_, input, arguments);
}

/// The filters of a block, the innermost of which has no operand of its own.
Value Evaluator::evaluate_block_filter(const Expr& expr, const Value& input,
                                       const ScopePtr& scope) {
  if (!expr.parts[0]) return evaluate_filter(expr, input, scope);
  return evaluate_filter(expr, evaluate_block_filter(*expr.parts[0], input, scope), scope);
}

}  // namespace pref::jinja
