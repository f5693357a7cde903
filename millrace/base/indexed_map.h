// An object's members in the order in which they came, found by hash once there are many.
// nlohmann::ordered_map looks through all of them for each one that it adds: an object of 150,000
// members (a vocabulary, or a hostile request) would take minutes to read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/ordered_map.hpp>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace {

/// A hash that differs from process to process, so that nobody can prepare keys that collide.
uint64_t seeded_hash(std::string_view key);

/// The object type of Json; it behaves as nlohmann::ordered_map does.
template <class Key, class T, class IgnoredLess, class Allocator>
class IndexedMap : public nlohmann::ordered_map<Key, T, IgnoredLess, Allocator> {
  using Base = nlohmann::ordered_map<Key, T, IgnoredLess, Allocator>;

 public:
  using Base::Base;
  using typename Base::const_iterator;
  using typename Base::iterator;
  using typename Base::size_type;
  using typename Base::value_type;

  template <class K>
  iterator find(const K& key) {
    return this->begin() + static_cast<std::ptrdiff_t>(position(key));
  }
  template <class K>
  const_iterator find(const K& key) const {
    return this->begin() + static_cast<std::ptrdiff_t>(position(key));
  }
  template <class K>
  size_type count(const K& key) const {
    return position(key) < this->size() ? 1 : 0;
  }

  template <class K>
  std::pair<iterator, bool> emplace(K&& key, T&& value) {
    iterator found = find(key);
    if (found != this->end()) return {found, false};
    this->emplace_back(std::forward<K>(key), std::move(value));
    extend_index();
    return {std::prev(this->end()), true};
  }
  std::pair<iterator, bool> insert(value_type&& value) {
    return emplace(value.first, std::move(value.second));
  }
  std::pair<iterator, bool> insert(const value_type& value) {
    return emplace(value.first, T(value.second));
  }
  template <typename Iterator, typename = typename Base::template require_input_iter<Iterator>>
  void insert(Iterator first, Iterator last) {
    for (; first != last; ++first) insert(*first);
  }

  template <class K>
  T& operator[](K&& key) {
    return emplace(std::forward<K>(key), T{}).first->second;
  }
  template <class K>
  T& at(const K& key) {
    return this->data()[known_position(key)].second;
  }
  template <class K>
  const T& at(const K& key) const {
    return this->data()[known_position(key)].second;
  }

  template <class K, std::enable_if_t<!std::is_convertible_v<K, const_iterator>, int> = 0>
  size_type erase(const K& key) {
    iterator found = find(key);
    if (found == this->end()) return 0;
    erase(found);
    return 1;
  }
  iterator erase(iterator first, iterator last) {
    iterator next = Base::erase(first, last);
    slots_.clear();
    return next;
  }
  iterator erase(iterator at) { return erase(at, std::next(at)); }
  void clear() {
    Base::clear();
    slots_.clear();
  }

 private:
  static constexpr size_t kFirstIndexed = 32;

  template <class K>
  size_t known_position(const K& key) const {
    size_t found = position(key);
    if (found == this->size()) throw std::out_of_range("key not found");
    return found;
  }

  /// Where the member is, or size().
  template <class K>
  size_t position(const K& key) const {
    std::string_view wanted(key);
    if (slots_.empty() || indexed_ != this->size()) {
      size_t i = 0;
      while (i < this->size() && this->data()[i].first != wanted) ++i;
      return i;
    }
    for (size_t slot = seeded_hash(wanted) & mask();; slot = (slot + 1) & mask()) {
      if (slots_[slot] == 0) return this->size();
      if (this->data()[slots_[slot] - 1].first == wanted) return slots_[slot] - 1;
    }
  }

  void extend_index() {
    if (this->size() < kFirstIndexed) return;
    if (slots_.size() < 2 * this->size() || indexed_ + 1 != this->size()) {
      size_t slots = 4 * kFirstIndexed;
      while (slots < 4 * this->size()) slots *= 2;
      slots_.assign(slots, 0);
      indexed_ = 0;
    }
    for (; indexed_ < this->size(); ++indexed_) {
      size_t slot = seeded_hash(this->data()[indexed_].first) & mask();
      while (slots_[slot] != 0) slot = (slot + 1) & mask();
      slots_[slot] = static_cast<uint32_t>(indexed_ + 1);
    }
  }

  size_t mask() const { return slots_.size() - 1; }

  std::vector<uint32_t> slots_;  // position + 1 of a member, 0 where there is none; or empty
  size_t indexed_ = 0;           // how many members slots_ knows
};

}  // namespace millrace
