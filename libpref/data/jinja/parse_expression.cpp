// SPDX-License-Identifier: Apache-2.0
// Expressions, by jinja2's precedence (unlike Python's: ~ binds tighter than +, a sign tighter than
// **, and a filter belongs to the operand it stands behind); see parser.h.
#include <algorithm>
#include <array>

#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/parser.h"

namespace pref::jinja {

ExprPtr Parser::make(Op op, int line, std::vector<ExprPtr> parts) {
  auto out = std::make_unique<Expr>();
  out->op = op;
  out->line = line;
  out->parts = std::move(parts);
  return finish(std::move(out));
}

ExprPtr Parser::finish(ExprPtr expr) {
  int below = 0;
  const auto see = [&](const ExprPtr& part) {
    if (part) below = std::max(below, part->depth);
  };
  for (const ExprPtr& part : expr->parts) see(part);
  for (const ExprPtr& part : expr->call.positional) see(part);
  for (const auto& [name, part] : expr->call.named) see(part);
  see(expr->call.more_positional);
  see(expr->call.more_named);
  expr->depth = below + 1;
  if (expr->depth > limits_.depth)
    fail_at(expr->line, "an expression nested deeper than " + std::to_string(limits_.depth) +
                            " levels, the cap (TemplateLimits::depth)");
  return expr;
}

namespace {

template <class... Parts>
std::vector<ExprPtr> list_of(Parts... parts) {
  std::vector<ExprPtr> out;
  (out.push_back(std::move(parts)), ...);
  return out;
}

}  // namespace

ExprPtr Parser::parse_condition() {
  const Nested nested(*this);
  const size_t first_missing = missing_.size();
  ExprPtr out = parse_or();
  while (current().is_name("if")) {
    const int line = take().line;
    ExprPtr test = parse_or();
    std::vector<ExprPtr> parts = list_of(std::move(test), std::move(out));
    if (take_name("else")) parts.push_back(parse_condition());
    out = make(Op::condition, line, std::move(parts));
    forgive_since(first_missing);
  }
  return out;
}

ExprPtr Parser::parse_or() {
  ExprPtr out = parse_and();
  while (current().is_name("or")) {
    const int line = take().line;
    ExprPtr right = parse_and();
    out = make(Op::either, line, list_of(std::move(out), std::move(right)));
  }
  return out;
}

ExprPtr Parser::parse_and() {
  ExprPtr out = parse_not();
  while (current().is_name("and")) {
    const int line = take().line;
    ExprPtr right = parse_not();
    out = make(Op::both, line, list_of(std::move(out), std::move(right)));
  }
  return out;
}

ExprPtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_comparison();
  const Nested nested(*this);
  const int line = take().line;
  return make(Op::negation, line, list_of(parse_not()));
}

ExprPtr Parser::parse_comparison() {
  constexpr std::array<std::pair<std::string_view, Relation>, 6> kRelations{{{"==", Relation::eq},
                                                                             {"!=", Relation::ne},
                                                                             {"<", Relation::lt},
                                                                             {"<=", Relation::le},
                                                                             {">", Relation::gt},
                                                                             {">=", Relation::ge}}};
  const int line = current().line;
  ExprPtr first = parse_sum();
  std::vector<ExprPtr> parts = list_of(std::move(first));
  std::vector<Relation> relations;
  while (true) {
    const auto found = std::find_if(kRelations.begin(), kRelations.end(), [&](const auto& entry) {
      return current().is_symbol(entry.first);
    });
    if (found != kRelations.end()) {
      take();
      relations.push_back(found->second);
    } else if (take_name("in")) {
      relations.push_back(Relation::in);
    } else if (current().is_name("not") && look().is_name("in")) {
      take();
      take();
      relations.push_back(Relation::not_in);
    } else {
      break;
    }
    parts.push_back(parse_sum());
  }
  if (relations.empty()) return std::move(parts[0]);
  ExprPtr out = make(Op::compare, line, std::move(parts));
  out->relations = std::move(relations);
  return out;
}

ExprPtr Parser::parse_sum() {
  ExprPtr out = parse_concat();
  while (current().is_symbol("+") || current().is_symbol("-")) {
    const Token& sign = take();
    ExprPtr right = parse_concat();
    out = make(sign.text == "+" ? Op::add : Op::subtract, sign.line,
               list_of(std::move(out), std::move(right)));
  }
  return out;
}

ExprPtr Parser::parse_concat() {
  const int line = current().line;
  ExprPtr first = parse_product();
  if (!current().is_symbol("~")) return first;
  std::vector<ExprPtr> parts = list_of(std::move(first));
  while (take_symbol("~")) parts.push_back(parse_product());
  return make(Op::concat, line, std::move(parts));
}

ExprPtr Parser::parse_product() {
  ExprPtr out = parse_power();
  while (true) {
    const Token& sign = current();
    Op op;
    if (sign.is_symbol("*"))
      op = Op::multiply;
    else if (sign.is_symbol("/"))
      op = Op::divide;
    else if (sign.is_symbol("//"))
      op = Op::floor_divide;
    else if (sign.is_symbol("%"))
      op = Op::modulo;
    else
      return out;
    take();
    ExprPtr right = parse_power();
    out = make(op, sign.line, list_of(std::move(out), std::move(right)));
  }
}

ExprPtr Parser::parse_power() {
  ExprPtr out = parse_unary();
  while (current().is_symbol("**")) {
    const int line = take().line;
    ExprPtr right = parse_unary();
    out = make(Op::power, line, list_of(std::move(out), std::move(right)));
  }
  return out;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  const Nested nested(*this);
  ExprPtr out;
  if (current().is_symbol("-") || current().is_symbol("+")) {
    const Token& sign = take();
    out = make(sign.text == "-" ? Op::negative : Op::positive, sign.line,
               list_of(parse_unary(false)));
  } else {
    out = parse_primary();
  }
  out = parse_postfix(std::move(out));
  return with_filter ? parse_filters_and_tests(std::move(out)) : std::move(out);
}

ExprPtr Parser::parse_primary(bool members) {
  const Token& token = current();
  const auto constant = [&](Value value) {
    ExprPtr out = make(Op::constant, token.line);
    out->value = std::move(value);
    return out;
  };
  switch (token.kind) {
    case TokenKind::name: {
      take();
      if (token.text == "true" || token.text == "True") return constant(Value::boolean(true));
      if (token.text == "false" || token.text == "False") return constant(Value::boolean(false));
      if (token.text == "none" || token.text == "None") return constant(Value::none());
      if (token.text == "varargs") saw_varargs_ = true;
      if (token.text == "kwargs") saw_kwargs_ = true;
      const bool member = members && take_symbol(".");
      ExprPtr out = make(member ? Op::member : Op::name, token.line);
      out->name = token.text;
      if (member) out->value = Value::string(expect_name().text);
      return out;
    }
    case TokenKind::string: {
      std::string text = take().text;
      while (current().is(TokenKind::string)) text += take().text;
      return constant(Value::string(std::move(text)));
    }
    case TokenKind::integer:
      return constant(Value::integer(take().integer));
    case TokenKind::real:
      return constant(Value::real(take().real));
    default:
      break;
  }
  if (take_symbol("(")) {
    ExprPtr out = parse_tuple({.in_parentheses = true});
    expect_symbol(")");
    return out;
  }
  if (token.is_symbol("[")) return parse_list();
  if (token.is_symbol("{")) return parse_dict();
  fail_expected("a value");
}

ExprPtr Parser::parse_tuple(const TupleRules& rules) {
  const Nested nested(*this);
  const int line = current().line;
  std::vector<ExprPtr> parts;
  bool is_tuple = false;
  while (true) {
    if (!parts.empty()) expect_symbol(",");
    if (current().is(TokenKind::variable_end) || current().is(TokenKind::block_end) ||
        current().is_symbol(")") || (!rules.end.empty() && current().is_name(rules.end)))
      break;
    parts.push_back(rules.targets      ? parse_primary(rules.members)
                    : rules.conditions ? parse_expression()
                                       : parse_or());
    if (!current().is_symbol(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !parts.empty()) return std::move(parts[0]);
  if (!is_tuple && !rules.in_parentheses) fail_expected("a value");
  return make(Op::tuple, line, std::move(parts));
}

ExprPtr Parser::parse_list() {
  const int line = take().line;
  std::vector<ExprPtr> parts;
  while (!current().is_symbol("]")) {
    if (!parts.empty()) expect_symbol(",");
    if (current().is_symbol("]")) break;
    parts.push_back(parse_expression());
  }
  take();
  return make(Op::list, line, std::move(parts));
}

ExprPtr Parser::parse_dict() {
  const int line = take().line;
  std::vector<ExprPtr> parts;
  while (!current().is_symbol("}")) {
    if (!parts.empty()) expect_symbol(",");
    if (current().is_symbol("}")) break;
    parts.push_back(parse_expression());
    expect_symbol(":");
    parts.push_back(parse_expression());
  }
  take();
  return make(Op::dict, line, std::move(parts));
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (current().is_symbol(".") || current().is_symbol("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (current().is_symbol("(")) {
      ExprPtr call = make(Op::call, current().line, list_of(std::move(expr)));
      call->call = parse_call();
      expr = finish(std::move(call));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr expr) {
  while (true) {
    if (current().is_symbol("|"))
      expr = parse_filter(std::move(expr));
    else if (current().is_name("is"))
      expr = parse_test(std::move(expr));
    else if (current().is_symbol("("))
      expr = parse_postfix(std::move(expr));
    else
      return expr;
  }
}

ExprPtr Parser::parse_subscript(ExprPtr expr) {
  const Token& mark = take();
  if (mark.text == ".") {
    const Token& token = take();
    if (token.is(TokenKind::name)) {
      ExprPtr out = make(Op::attribute, mark.line, list_of(std::move(expr)));
      out->name = token.text;
      return out;
    }
    if (!token.is(TokenKind::integer))
      fail_at(token.line, "a name or a number is expected after \".\"");
    ExprPtr index = make(Op::constant, token.line);
    index->value = Value::integer(token.integer);
    return make(Op::item, mark.line, list_of(std::move(expr), std::move(index)));
  }
  const auto ends = [&] { return current().is_symbol("]") || current().is_symbol(","); };
  ExprPtr start, stop, step;
  if (!current().is_symbol(":")) start = parse_expression();
  if (start && current().is_symbol("]")) {
    take();
    return make(Op::item, mark.line, list_of(std::move(expr), std::move(start)));
  }
  if (start && current().is_symbol(",")) {
    std::vector<ExprPtr> parts = list_of(std::move(start));
    while (take_symbol(",")) parts.push_back(parse_expression());
    expect_symbol("]");
    ExprPtr tuple = make(Op::tuple, mark.line, std::move(parts));
    return make(Op::item, mark.line, list_of(std::move(expr), std::move(tuple)));
  }
  expect_symbol(":");
  if (!current().is_symbol(":") && !ends()) stop = parse_expression();
  if (take_symbol(":") && !ends()) step = parse_expression();
  expect_symbol("]");
  return make(Op::slice, mark.line,
              list_of(std::move(expr), std::move(start), std::move(stop), std::move(step)));
}

CallSyntax Parser::parse_call() {
  const int line = current().line;
  expect_symbol("(");
  CallSyntax out;
  bool first = true;
  const auto check = [&](bool condition) {
    if (!condition) fail_at(line, "the arguments of a call are out of order");
  };
  while (!current().is_symbol(")")) {
    if (!std::exchange(first, false)) {
      expect_symbol(",");
      if (current().is_symbol(")")) break;
    }
    if (take_symbol("*")) {
      check(!out.more_positional && !out.more_named);
      out.more_positional = parse_expression();
    } else if (take_symbol("**")) {
      check(!out.more_named);
      out.more_named = parse_expression();
    } else if (current().is(TokenKind::name) && look().is_symbol("=")) {
      check(!out.more_named);
      std::string name = take().text;
      take();
      out.named.emplace_back(std::move(name), parse_expression());
    } else {
      check(!out.more_positional && !out.more_named && out.named.empty());
      out.positional.push_back(parse_expression());
    }
  }
  take();
  return out;
}

ExprPtr Parser::parse_filter(ExprPtr expr, bool at_name) {
  while (at_name || take_symbol("|")) {
    at_name = false;
    const Token& token = expect_name();
    std::string name = token.text;
    while (take_symbol(".")) name += "." + expect_name().text;
    if (find_filter(name) == nullptr) missing_.push_back({unknown_filter(name), token.line, false});
    ExprPtr out = make(Op::filter, token.line, list_of(std::move(expr)));
    out->name = std::move(name);
    if (current().is_symbol("(")) out->call = parse_call();
    expr = finish(std::move(out));
  }
  return expr;
}

ExprPtr Parser::parse_test(ExprPtr expr) {
  const int line = take().line;  // is
  const bool negated = take_name("not");
  std::string name = expect_name().text;
  while (take_symbol(".")) name += "." + expect_name().text;
  if (find_test(name) == nullptr) missing_.push_back({unknown_test(name), line, false});
  ExprPtr out = make(Op::test, line, list_of(std::move(expr)));
  out->name = std::move(name);
  const Token& token = current();
  if (token.is_symbol("(")) {
    out->call = parse_call();
  } else if (token.is(TokenKind::name) || token.is(TokenKind::string) ||
             token.is(TokenKind::integer) || token.is(TokenKind::real) || token.is_symbol("[") ||
             token.is_symbol("{")) {
    if (token.is_name("is")) fail_at(token.line, "two tests with \"is\" in a row");
    if (!token.is_name("else") && !token.is_name("or") && !token.is_name("and"))
      out->call.positional.push_back(parse_postfix(parse_primary()));
  }
  out = finish(std::move(out));
  return negated ? make(Op::negation, line, list_of(std::move(out))) : std::move(out);
}

}  // namespace pref::jinja
