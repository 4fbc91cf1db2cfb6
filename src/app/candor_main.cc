#include "app/tool.h"

int main(int argc, char** argv) { return candor::app::run_tool(argc, argv); }
