#pragma once

namespace orderd::rpc {

/// The base of a service of which these methods (`Service::WithRawCallbackMethod_…`) get requests
/// as bytes, so that what does not parse gets a precise error (wire.h).
template <class Service, template <class> class... Methods>
struct RawMethods {
  using Base = typename Service::Service;
};
template <class Service, template <class> class First, template <class> class... Rest>
struct RawMethods<Service, First, Rest...> {
  using Base = First<typename RawMethods<Service, Rest...>::Base>;
};

}  // namespace orderd::rpc
