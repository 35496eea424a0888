// SPDX-License-Identifier: Apache-2.0
#include <ostream>

#include "libpref/base/json_text.h"
#include "libpref/cli/commands.h"
#include "libpref/train/manifest.h"

namespace pref::cli {

int verify(const std::string& checkpoint, std::ostream& out) {
  const Checkpoint opened = open_checkpoint(checkpoint);
  for (const auto& file : opened.files)
    out << JsonObject()
               .add("file", file.name)
               .add("bytes", file.size)
               .add("sha256", file.sha256)
               .str()
        << "\n";
  return 0;
}

}  // namespace pref::cli
