// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a template. It is read-only once parsed, so that threads may render from one.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libpref/data/jinja/value.h"

namespace pref::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct CallSyntax {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional, more_named;  ///< *list and **dict
};

enum class Op : uint8_t {
  constant,
  name,
  member,
  tuple,
  list,
  dict,  // member: the target a.b of a set
  negative,
  positive,
  negation,
  both,
  either,
  concat,  // negation, both, either: not, and, or
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  compare,
  condition,
  attribute,
  item,
  slice,
  call,
  filter,
  test
};
enum class Relation : uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

struct Expr {
  Op op;
  int line;
  int depth = 1;
  std::string name;  ///< of names, members, attributes, filters and tests
  Value value;       ///< of constants
  /// Operands in order of writing. condition: test, then, perhaps else. slice: the container, start,
  /// stop, step (null where left out). call: what is called. dict: keys and values in turn.
  /// filter: null in the filter of a block.
  std::vector<ExprPtr> parts;
  std::vector<Relation> relations;  ///< relations[i] stands between parts[i] and parts[i + 1]
  CallSyntax call;
};

enum class Action : uint8_t {
  text,
  print,
  branch,
  loop,
  assign,
  assign_block,
  macro,
  filter_block,
  with,
  generation,
  leave_loop,
  next_round
};

struct Stmt {
  Action action;
  int line;
  std::string text;  ///< of text; a macro's name
  /// print: the value. branch: the condition of each block. loop: what is gone through and perhaps
  /// the test. assign: the value. assign_block and filter_block: perhaps the filter. macro: defaults
  /// of the last parameters. with: values.
  std::vector<ExprPtr> parts;
  std::vector<ExprPtr> targets;  ///< of assignments, loops and with
  /// branch: one per condition and perhaps the else. loop: the body and the else.
  std::vector<Block> blocks;
  std::vector<std::string> parameters;             ///< of a macro
  bool uses_varargs = false, uses_kwargs = false;  ///< of a macro
};

}  // namespace pref::jinja
