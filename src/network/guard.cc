// An exception of libtorch must not pass through Rust: what calls libtorch by hand comes here first and gets a message.

#include <cstring>
#include <exception>

static void tell(char *message, unsigned long room, const char *text) {
    std::strncpy(message, text, room - 1);
    message[room - 1] = '\0';
}

extern "C" int medfsad_guarded(void (*work)(void *), void *argument, char *message, unsigned long room) noexcept {
    try {
        work(argument);
        return 0;
    } catch (const std::exception &error) {
        tell(message, room, error.what());
    } catch (...) {
        tell(message, room, "an exception without a message");
    }
    return 1;
}
