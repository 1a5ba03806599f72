// One job: the records that Python fills in, as numpy dtypes: each field by name, type and offset.
//
// A record states its fields beside its members (`fields`), so that Python never takes or gives a
// value by position.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include "method/batch.h"

namespace sasaug {

namespace py = pybind11;

template <class Record>
py::dtype dtype_of();

// A member's type as numpy names it: a number, an address, an array or a record of its own.
template <class Member>
py::object format_of() {
  if constexpr (std::is_array<Member>::value) {
    using Element = typename std::remove_extent<Member>::type;
    return py::make_tuple(format_of<Element>(), std::extent<Member>::value);
  } else if constexpr (std::is_pointer<Member>::value) {
    return format_of<uintptr_t>();
  } else if constexpr (std::is_enum<Member>::value) {
    return format_of<typename std::underlying_type<Member>::type>();
  } else if constexpr (std::is_same<Member, Rectangle>::value) {  // (x, y, width, height)
    return format_of<int32_t[4]>();
  } else if constexpr (std::is_arithmetic<Member>::value) {
    return py::dtype::of<Member>();
  } else {
    return dtype_of<Member>();
  }
}

template <class Record>
py::dtype dtype_of() {
  static_assert(std::is_standard_layout<Record>::value, "its offsets are known");
  static const Record record{};
  py::list names, formats, offsets;
  Record::fields([&](const char* name, auto member) {
    names.append(name);
    using Member = std::remove_reference_t<decltype(record.*member)>;
    formats.append(format_of<std::remove_cv_t<Member>>());
    offsets.append(reinterpret_cast<const char*>(&(record.*member)) -
                   reinterpret_cast<const char*>(&record));
  });
  return py::dtype(names, formats, offsets, sizeof(Record));
}

// A copy of the record in any object that offers its memory.
template <class Record>
Record record_from(const py::handle& object) {
  Py_buffer view;
  if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  Record record;
  const bool fits = view.len == static_cast<Py_ssize_t>(sizeof record);
  if (fits) memcpy(static_cast<void*>(&record), view.buf, sizeof record);
  PyBuffer_Release(&view);
  if (!fits) throw std::invalid_argument("a record must have the size that C++ exports");
  return record;
}

}  // namespace sasaug
