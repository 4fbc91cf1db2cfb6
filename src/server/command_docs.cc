#include "server/command_docs.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/glob.h"
#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

void write_flags(std::string& out, const Command& command, resp::Protocol protocol) {
  std::vector<std::string_view> flags;
  if (command.has(Command::kReadOnly)) flags.push_back("readonly");
  if (command.has(Command::kChanges)) flags.push_back("write");
  if (command.has(Command::kAdmin)) flags.push_back("admin");
  if (command.has(Command::kPubSub)) flags.push_back("pubsub");
  if (command.has(Command::kFast)) flags.push_back("fast");
  if (command.has(Command::kNoAuth)) flags.push_back("no_auth");
  resp::write_set(out, flags.size(), protocol);
  for (const auto flag : flags) resp::write_simple(out, flag);
}

// As Redis 7: name, arity, flags, first key, last key, step, ACL categories, tips, key specifications,
// subcommands.
void write_info(std::string& out, const Command& command, resp::Protocol protocol) {
  resp::write_array(out, 10);
  resp::write_bulk(out, lower_case(command.name));
  resp::write_integer(out, command.arity);
  write_flags(out, command, protocol);
  resp::write_integer(out, command.first_key);
  resp::write_integer(out, command.last_key);
  resp::write_integer(out, command.key_step);
  resp::write_set(out, 1, protocol);
  resp::write_simple(out, "@" + std::string(command.group));
  for (int i = 0; i < 3; ++i) resp::write_array(out, 0);
}

void write_docs(std::string& out, const Command& command, resp::Protocol protocol) {
  const auto text = [&](std::string_view key, std::string_view value) {
    resp::write_bulk(out, key);
    resp::write_bulk(out, value);
  };
  resp::write_bulk(out, lower_case(command.name));
  resp::write_map(out, 3, protocol);
  text("summary", command.summary);
  text("since", command.since);
  text("group", command.group);
}

void command_info(Session& session, Args names) {
  const CommandTable& table = session.server().commands();
  std::string& out = session.out();
  if (names.empty()) {
    resp::write_array(out, table.all().size());
    for (const Command* command : table.all()) write_info(out, *command, session.protocol());
    return;
  }
  resp::write_array(out, names.size());
  for (const auto name : names) {
    const Command* command = table.find(name);
    command == nullptr ? resp::write_null(out, session.protocol())
                       : write_info(out, *command, session.protocol());
  }
}

void command_docs(Session& session, Args names) {
  const CommandTable& table = session.server().commands();
  std::vector<const Command*> commands;
  if (names.empty()) commands = table.all();
  for (const auto name : names) {
    if (const Command* command = table.find(name)) commands.push_back(command);
  }
  std::string& out = session.out();
  resp::write_map(out, commands.size(), session.protocol());
  for (const Command* command : commands) write_docs(out, *command, session.protocol());
}

void command_list(Session& session, Args args) {
  std::string_view pattern = "*";
  if (args.size() == 3 && is_word(args[0], "FILTERBY") && is_word(args[1], "PATTERN")) {
    pattern = args[2];
  } else if (!args.empty()) {
    return session.syntax_error();
  }
  std::vector<std::string> names;
  for (const Command* command : session.server().commands().all()) {
    std::string name = lower_case(command->name);
    if (glob_match(pattern, name, true)) names.push_back(std::move(name));
  }
  resp::write_array(session.out(), names.size());
  for (const auto& name : names) resp::write_bulk(session.out(), name);
}

void command_getkeys(Session& session, Args args) {
  const Command* command = args.empty() ? nullptr : session.server().commands().find(args[0]);
  if (command == nullptr) return session.error("ERR Invalid command specified");
  if (!command->accepts(args.size()))
    return session.error("ERR Invalid number of arguments specified for command");
  if (command->first_key == 0) return session.error("ERR The command has no key arguments");
  const auto count = static_cast<int>(args.size());
  const int last = command->last_key < 0 ? count + command->last_key : std::min(command->last_key, count - 1);
  std::vector<std::string_view> keys;
  for (int i = command->first_key; i <= last; i += command->key_step)
    keys.push_back(args[static_cast<std::size_t>(i)]);
  resp::write_array(session.out(), keys.size());
  for (const auto key : keys) resp::write_bulk(session.out(), key);
}

}  // namespace

void command(Session& session, Args args) {
  if (args.size() == 1) return command_info(session, {});
  if (is_word(args[1], "COUNT")) {
    if (args.size() != 2) return wrong_arity(session, "command", args[1]);
    return session.integer(static_cast<std::int64_t>(session.server().commands().all().size()));
  }
  if (is_word(args[1], "INFO")) return command_info(session, args.subspan(2));
  if (is_word(args[1], "DOCS")) return command_docs(session, args.subspan(2));
  if (is_word(args[1], "LIST")) return command_list(session, args.subspan(2));
  if (is_word(args[1], "GETKEYS")) return command_getkeys(session, args.subspan(2));
  unknown_subcommand(session, "COMMAND", args[1]);
}

}  // namespace candor::server
