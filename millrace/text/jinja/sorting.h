// A stable sort that is safe with any order function: one that throws, or that is inconsistent as
// Python's `<` is on NaN.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace millrace::jinja {

/// Merge sort, bottom up. `is_less(a, b)` is called on elements.
template <typename T, typename IsLess>
void merge_sort(std::vector<T>& items, IsLess is_less) {
  std::vector<T> merged(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      size_t middle = std::min(begin + width, items.size());
      size_t end = std::min(begin + 2 * width, items.size());
      size_t left = begin;
      size_t right = middle;
      for (size_t at = begin; at < end; ++at) {
        bool take_right = right < end && (left == middle || is_less(items[right], items[left]));
        merged[at] = std::move(items[take_right ? right++ : left++]);
      }
    }
    std::swap(items, merged);
  }
}

}  // namespace millrace::jinja
