#include <fmt/core.h>

#include <vector>

#include "client/orderctl/cli.h"

namespace orderd::cli {
namespace {

/// A command, by the words that lead to it, and the words that can follow it.
struct Entry {
  std::string path;
  std::string words;
};

void collect(const CLI::App& app, const std::string& path, const std::string& inherited,
             std::vector<Entry>& entries) {
  std::string options = inherited;
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) options += " --" + name;
  }
  std::string commands;
  const auto children = app.get_subcommands([](const CLI::App*) { return true; });
  for (const auto* child : children) commands += child->get_name() + " ";
  entries.push_back({path, commands + options});
  for (const auto* child : children) {
    // --help is each command's own.
    std::string global = inherited;
    if (app.get_parent() == nullptr) {
      for (const auto* option : app.get_options()) {
        for (const auto& name : option->get_lnames()) {
          if (name != "help" && name != "version") global += " --" + name;
        }
      }
    }
    collect(*child, path + " " + child->get_name(), global, entries);
  }
}

/// A shell `case` that walks down the commands.
std::string step_pattern(const std::vector<Entry>& entries) {
  std::string pattern;
  for (std::size_t i = 1; i < entries.size(); ++i) {
    pattern += (i == 1 ? "\"" : "|\"") + entries[i].path + "\"";
  }
  return pattern;
}

std::string word_cases(const std::vector<Entry>& entries) {
  std::string cases;
  for (const auto& entry : entries) {
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", entry.path, entry.words);
  }
  return cases;
}

constexpr char kBash[] = R"(# bash completion for orderctl: source this, or put it in
# /usr/share/bash-completion/completions/orderctl
_orderctl() {{
  local path=orderctl words i cur="${{COMP_WORDS[COMP_CWORD]}}"
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {steps}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$path" in
{cases}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _orderctl orderctl
)";

constexpr char kZsh[] = R"(#compdef orderctl
# zsh completion for orderctl: put this into a file _orderctl on your $fpath, or
# run: source <(orderctl completion zsh)
_orderctl() {{
  local cmdpath=orderctl allwords i
  for ((i = 2; i < CURRENT; i++)); do
    case "$cmdpath ${{words[i]}}" in
      {steps}) cmdpath="$cmdpath ${{words[i]}}" ;;
    esac
  done
  case "$cmdpath" in
{cases}  esac
  compadd -- ${{=allwords}}
  _files
}}
if [ "$funcstack[1]" = "_orderctl" ]; then _orderctl "$@"; else compdef _orderctl orderctl; fi
)";

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::vector<Entry> entries;
  collect(app, "orderctl", "", entries);
  const std::string steps = step_pattern(entries);
  std::string cases = word_cases(entries);
  if (shell == "bash") {
    return fmt::format(kBash, fmt::arg("steps", steps), fmt::arg("cases", cases));
  }
  // In zsh `words` is the command line.
  for (std::size_t at = 0; (at = cases.find(") words=", at)) != std::string::npos; ++at) {
    cases.insert(at + 2, "all");
  }
  return fmt::format(kZsh, fmt::arg("steps", steps), fmt::arg("cases", cases));
}

}  // namespace orderd::cli
