// SPDX-License-Identifier: Apache-2.0
// Names of the Hugging Face Hub (`org/name`) found in the local cache that `hf download`,
// transformers and datasets fill. Nothing is ever downloaded here: what is missing is an error with
// the line that fetches it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/file_system.h"

namespace pref {

enum class HubKind { model, dataset };

/// Does it look like `org/name`: two parts of letters, digits, '-', '_' and '.'?
bool is_hub_name(std::string_view name);

/// The cache's folder: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else
/// XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub; "" without any of these.
std::string hub_cache_folder();

/// The snapshot of `name` at `revision`: a branch or tag ("" is main), or a commit. Throws
/// missing_input, naming the place looked at and the line to run.
std::string resolve_hub_folder(FileSystem& files, HubKind kind, std::string_view name,
                               std::string_view revision = {});

/// A model's folder: `name` itself where it exists or is no name of the Hub, else its snapshot.
/// `name@revision` names a revision too.
std::string resolve_model_folder(const std::string& name, std::string_view revision = {});

/// The files of a data set named `org/name[/path][@revision][:split]`: the file or folder `path` of
/// the snapshot, or all of it; of these the files of `split`. Without a split: "train" where there
/// is such a one, else the only one. A file's split is its name without endings and without
/// -00000-of-00001; of a name of digits alone, its folder's.
std::vector<std::string> hub_dataset_files(FileSystem& files, std::string_view name);

}  // namespace pref
