// An AppendStore in memory, for tests: a crash keeps what was synced and some of the rest, and any call can
// be made to fail. Thread safety: none.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/append_store.h"

namespace candor {

class MemoryAppendStore final : public AppendStore {
 public:
  struct File {
    std::string bytes;
    std::size_t synced = 0;
  };
  std::map<std::string, File> files;
  std::size_t room = SIZE_MAX;  // bytes that still fit; an append beyond it writes what fits, and fails
  bool sync_fails = false;
  bool cut_fails = false;
  std::size_t syncs = 0;

  // The power goes: of what was not synced the first `torn` bytes of each file are there.
  void crash(std::size_t torn = 0) {
    for (auto& [name, file] : files) {
      file.bytes.resize(std::min(file.bytes.size(), file.synced + torn));
      file.synced = file.bytes.size();
    }
  }

  Result<std::vector<std::string>> list() override {
    std::vector<std::string> names;
    for (const auto& [name, file] : files) names.push_back(name);
    return names;
  }
  Result<std::string> read(const std::string& name, std::size_t bytes_max) override {
    const auto it = files.find(name);
    if (it == files.end()) return fail(ErrorCode::kNotFound, name + ": no such file");
    if (it->second.bytes.size() > bytes_max) return fail(ErrorCode::kLimit, name + ": too large");
    return it->second.bytes;
  }
  Result<std::unique_ptr<AppendFile>> open(const std::string& name) override {
    files.try_emplace(name);
    return std::make_unique<Open>(this, name);
  }
  Result<void> remove(const std::string& name) override {
    files.erase(name);
    return {};
  }
  [[nodiscard]] std::string path_of(const std::string& name) const override { return "memory/" + name; }

 private:
  class Open final : public AppendFile {
   public:
    Open(MemoryAppendStore* store, std::string name) : store_(store), name_(std::move(name)) {}
    Result<void> append(std::string_view bytes) override {
      const std::string_view fits = bytes.substr(0, store_->room);
      store_->files[name_].bytes.append(fits);
      store_->room -= fits.size();
      if (fits.size() < bytes.size()) return fail(ErrorCode::kUnavailable, name_ + ": the disk is full");
      return {};
    }
    Result<void> sync() override {
      if (store_->sync_fails) return fail(ErrorCode::kUnavailable, name_ + ": cannot sync");
      ++store_->syncs;
      store_->files[name_].synced = store_->files[name_].bytes.size();
      return {};
    }
    Result<void> cut_to(std::uint64_t size) override {
      if (store_->cut_fails) return fail(ErrorCode::kUnavailable, name_ + ": cannot cut");
      File& file = store_->files[name_];
      file.bytes.resize(static_cast<std::size_t>(size));
      file.synced = file.bytes.size();
      return {};
    }
    [[nodiscard]] std::uint64_t size() const override { return store_->files[name_].bytes.size(); }

   private:
    MemoryAppendStore* store_;
    std::string name_;
  };
};

}  // namespace candor
