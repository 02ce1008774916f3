#include <fmt/chrono.h>
#include <fmt/core.h>

#include <array>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <kainjow/mustache.hpp>
#include <stdexcept>
#include <utility>

#include "server/notify/embedded.h"
#include "server/notify/mailer.h"
#include "server/notify/text.h"
#include "server/orders/cancellation.h"
#include "server/orders/money.h"
#include "server/orders/utf8.h"

namespace orderd::notify {
namespace {

namespace mustache = kainjow::mustache;

constexpr std::string_view kSuffix = ".mustache";
constexpr std::array<std::string_view, 3> kFiles = {
    "ORDER_CANCELED.subject.mustache",
    "ORDER_CANCELED.txt.mustache",
    "ORDER_CANCELED.html.mustache",
};

/// "19.99 EUR", "1999 JPY", "-0.050 KWD".
std::string format_money(const pb::Money& money) {
  const auto decimals =
      static_cast<std::size_t>(rules::currency_exponent(money.currency_code()).value_or(0));
  const bool negative = money.amount_minor() < 0;
  auto magnitude = static_cast<std::uint64_t>(money.amount_minor());
  if (negative) magnitude = 0 - magnitude;
  std::string digits = fmt::format("{:0{}}", magnitude, decimals + 1);
  if (decimals > 0) digits.insert(digits.size() - decimals, ".");
  return fmt::format("{}{} {}", negative ? "-" : "", digits, money.currency_code());
}

/// False, so that a section about it is left out, if there is no such amount.
mustache::data amount(const pb::Money& money) {
  if (money.amount_minor() <= 0) return false;
  return format_money(money);
}

mustache::data text_or_false(std::string_view text) {
  std::string line = one_line(text);
  if (line.empty()) return false;
  return line;
}

/// The fields that a template can name. Every field is always there.
mustache::data fields_of(const pb::Order& order) {
  const pb::CancellationReport report = rules::report_of(order);
  mustache::data items(mustache::data::type::list);
  for (const pb::Item& item : order.items()) {
    mustache::data line;
    line["name"] = one_line(item.name().empty() ? item.sku() : item.name());
    line["quantity"] = fmt::format("{}", item.quantity());
    line["line_total"] = format_money(item.total());
    items.push_back(line);
  }
  const bool has_total = order.totals().has_total() && !order.currency_code().empty();
  const auto seconds = static_cast<std::time_t>(order.order_time().seconds());

  mustache::data fields;
  fields["order_number"] = one_line(order.order_number());
  fields["customer_name"] = text_or_false(order.customer().name());
  fields["order_date"] = one_line(fmt::format("{:%e %B %Y}", fmt::gmtime(seconds)));
  fields["has_items"] = order.items_size() > 0;
  fields["items"] = std::move(items);
  fields["total"] = has_total ? mustache::data(format_money(order.totals().total())) : false;
  fields["refunded"] = amount(report.refunded());
  fields["refund_initiated"] = amount(report.pending());
  fields["released"] = amount(report.reversed());
  fields["money_returned"] =
      report.refunded().amount_minor() > 0 || report.pending().amount_minor() > 0;
  return fields;
}

/// Notes which names of a template there is no field for.
class Fields : public mustache::context<std::string> {
 public:
  explicit Fields(const mustache::data* fields) : context(fields) {}

  const mustache::data* get(const std::string& name) const override {
    const mustache::data* found = context::get(name);
    if (found == nullptr) unknown_ = name;
    return found;
  }
  const mustache::data* get_partial(const std::string& name) const override {
    unknown_ = "> " + name;
    return nullptr;
  }
  const std::string& unknown() const { return unknown_; }

 private:
  mutable std::string unknown_;
};

std::string render_text(const std::string& text, const mustache::data& fields, bool html) {
  mustache::mustache parsed(text);
  if (!html) parsed.set_custom_escape([](const std::string& value) { return value; });
  return parsed.render(fields);
}

/// A section that is left out leaves its line, empty. So there is never more than one empty line.
std::string without_repeated_blank_lines(const std::string& text) {
  std::string result;
  int newlines = 0;
  for (const char c : text) {
    if (c == '\r') continue;
    newlines = c == '\n' ? newlines + 1 : 0;
    if (newlines <= 2) result += c;
  }
  return result;
}

/// What is wrong with a template; empty: nothing.
std::string fault_of(const std::string& text, const mustache::data& fields) {
  if (!rules::count_code_points(text)) return "not UTF-8";
  try {
    mustache::mustache parsed(text);
    if (!parsed.is_valid()) return parsed.error_message();
    Fields known(&fields);
    parsed.render(known);
    if (!parsed.is_valid()) return parsed.error_message();
    if (!known.unknown().empty()) return fmt::format("unknown field \"{}\"", known.unknown());
  } catch (const std::exception&) {
    return "not a Mustache template";
  }
  return {};
}

std::string embedded(std::string_view name) {
  for (const EmbeddedTemplate& file : embedded_templates()) {
    if (file.file == name) return std::string(file.text);
  }
  throw std::logic_error(fmt::format("{} is not part of the program", name));
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file;
  if (std::filesystem::is_regular_file(path)) file.open(path, std::ios::binary);
  if (!file.is_open()) throw std::runtime_error(path.string() + " can't be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A file that nobody would read is a misspelt one.
void check_names(const std::filesystem::path& directory) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    if (std::find(kFiles.begin(), kFiles.end(), name) == kFiles.end()) {
      throw std::runtime_error(it->path().string() + " is no template of orderd");
    }
  }
  if (error) {
    throw std::runtime_error(
        fmt::format("can't read the templates in {}: {}", directory.string(), error.message()));
  }
}

/// An order with everything that a template can show.
pb::Order full_order() {
  pb::Order order;
  order.set_order_number("1");
  order.set_currency_code("EUR");
  order.mutable_customer()->set_name("A");
  order.add_items()->set_name("B");
  *order.mutable_totals()->mutable_total() = rules::make_money("EUR", 1);
  return order;
}

}  // namespace

class Templates::Impl {
 public:
  explicit Impl(const std::string& directory) {
    if (!directory.empty()) check_names(directory);
    for (std::size_t i = 0; i < kFiles.size(); ++i) {
      const std::filesystem::path path = std::filesystem::path(directory) / kFiles[i];
      const bool own = !directory.empty() && std::filesystem::exists(path);
      texts_[i] = own ? read(path) : embedded(kFiles[i]);
      // With all sections shown, and with none.
      mustache::data all = fields_of(full_order());
      for (const char* name : {"refunded", "refund_initiated", "released"}) all.set(name, "1");
      all.set("money_returned", true);
      for (const mustache::data& fields : {all, fields_of(pb::Order())}) {
        const std::string fault = fault_of(texts_[i], fields);
        if (fault.empty()) continue;
        throw std::runtime_error(
            fmt::format("{}: {}", own ? path.string() : std::string(kFiles[i]), fault));
      }
    }
  }

  Content render(const pb::Order& order) const {
    const mustache::data fields = fields_of(order);
    return {one_line(render_text(texts_[0], fields, false)),
            without_repeated_blank_lines(render_text(texts_[1], fields, false)),
            render_text(texts_[2], fields, true)};
  }

 private:
  std::array<std::string, kFiles.size()> texts_;
};

Templates::Templates(const std::string& directory) : impl_(std::make_unique<Impl>(directory)) {}

Templates::~Templates() = default;

Templates::Content Templates::render(const pb::Email&, const pb::Order& order) const {
  return impl_->render(order);
}

}  // namespace orderd::notify
