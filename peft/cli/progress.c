#include "peft/cli/progress.h"

#include "peft/cli/text.h"

#include <math.h>
#include <string.h>

enum { LINE_BYTES = 512, MIN_BAR = 5, MAX_BAR = 40 };

static const double SECONDS_A_DRAWING = 0.1, SECONDS_A_LINE = 10.0;

void peft_progress_duration(double seconds, char text[PEFT_DURATION_BYTES])
{
    const size_t bytes = PEFT_DURATION_BYTES;
    int64_t whole = (int64_t)ceil(seconds);
    int64_t hours = whole / 3600, minutes = whole / 60 % 60;
    if (hours > 0)
        snprintf(text, bytes, "%lld:%02lld:%02lld", (long long)hours, (long long)minutes, (long long)(whole % 60));
    else
        snprintf(text, bytes, "%lld:%02lld", (long long)minutes, (long long)(whole % 60));
}

/* ", 12.5/s, 0:46 left", and at the end ", 12.5/s, took 1:20": from the work since the start; nothing before there is
 * some. */
static void format_pace(const peft_progress *progress, double now, char *text, size_t bytes)
{
    char duration[PEFT_DURATION_BYTES];
    bool complete = progress->done >= progress->total;
    double seconds = now - progress->started;
    double rate = (double)(progress->done - progress->first) / seconds;
    text[0] = '\0';
    if (!(seconds > 0.0) || !(rate > 0.0)) return;
    peft_progress_duration(complete ? seconds : (double)(progress->total - progress->done) / rate, duration);
    snprintf(text, bytes, ", %.*f/s, %s%s%s", rate < 1.0 ? 3 : 1, rate, complete ? "took " : "", duration,
             complete ? "" : " left");
}

static int percent(const peft_progress *progress)
{
    return progress->total > 0 ? (int)(100.0 * (double)progress->done / (double)progress->total) : 0;
}

/* "420/1000 steps, 12.5/s, 0:46 left, loss 0.4321" */
static void format_state(const peft_progress *progress, double now, char *text, size_t bytes)
{
    char pace[96];
    format_pace(progress, now, pace, sizeof pace);
    snprintf(text, bytes, "%lld/%lld %s%s%s%s", (long long)progress->done, (long long)progress->total, progress->unit,
             pace, *progress->detail ? ", " : "", progress->detail);
}

/* Cuts a text to a number of columns, never inside of a character. */
static void cut(char *text, size_t columns)
{
    size_t used = 0;
    for (; *text; text++) {
        if (((unsigned char)*text & 0xC0) == 0x80) continue;
        if (used++ == columns) break;
    }
    *text = '\0';
}

static void draw_bar(FILE *out, const peft_progress *progress, size_t cells)
{
    static const char full[] = "########################################";
    static const char rest[] = "----------------------------------------";
    size_t filled =
        progress->total > 0 ? (size_t)((double)cells * (double)progress->done / (double)progress->total) : 0;
    bool colour = progress->output->colour;
    fprintf(out, "[%s%.*s%s%.*s] ", colour ? "\033[32m" : "", (int)filled, full, colour ? "\033[0m" : "",
            (int)(cells - filled), rest);
}

/* Returns how many lines it has drawn: two of the terminal's stay for the bar and what comes after it. */
static size_t draw_parts(const peft_progress *progress, size_t width)
{
    size_t rows = peft_output_rows(progress->output), room = rows > 2 ? rows - 2 : 0;
    size_t count = progress->num_parts < room ? progress->num_parts : room;
    for (size_t k = 0; k < count; k++) {
        char line[LINE_BYTES];
        snprintf(line, sizeof line, "%s", progress->parts[k]);
        peft_text_clean(line);
        cut(line, width);
        fprintf(progress->output->messages, "%s\n", line);
    }
    return count;
}

/* The bar takes the columns that the words leave, and goes first where they are few. The last column stays free:
 * terminals wrap there. */
static void draw(peft_progress *progress, double now)
{
    char head[64], state[LINE_BYTES];
    FILE *out = progress->output->messages;
    size_t width = peft_output_columns(progress->output) - 1;
    snprintf(head, sizeof head, "%s %3d%% ", progress->label, percent(progress));
    format_state(progress, now, state, sizeof state);
    cut(head, width);
    size_t words = peft_text_columns(head) + peft_text_columns(state) + strlen("[] ");
    size_t cells = words < width ? width - words : 0;
    bool first = progress->output->open_lines == 0;
    peft_output_erase(progress->output);
    size_t lines = draw_parts(progress, width);
    fprintf(out, "%s%s", first && !lines ? "\r\033[K" : "", head);
    if (cells >= MIN_BAR) draw_bar(out, progress, cells < MAX_BAR ? cells : MAX_BAR);
    cut(state, width - peft_text_columns(head));
    fputs(state, out);
    fflush(out);
    progress->output->open_lines = lines + 1;
}

static void write_line(peft_progress *progress, double now)
{
    char state[LINE_BYTES];
    format_state(progress, now, state, sizeof state);
    peft_output_say(progress->output, PEFT_SAY_NOTE, "%s %d%%: %s", progress->label, percent(progress), state);
}

static void show(peft_progress *progress, double now)
{
    progress->shown = now;
    progress->shown_done = progress->done;
    if (progress->output->terminal)
        draw(progress, now);
    else
        write_line(progress, now);
}

void peft_progress_start(peft_progress *progress, peft_output *output, const char *label, const char *unit,
                         int64_t first, int64_t total, double now)
{
    *progress = (peft_progress){.output = output,
                                .label = label,
                                .unit = unit,
                                .first = first,
                                .done = first,
                                .total = total,
                                .started = now,
                                .shown = now,
                                .shown_done = -1};
}

void peft_progress_update(peft_progress *progress, int64_t done, const char *detail, double now)
{
    double pause = progress->output->terminal ? SECONDS_A_DRAWING : SECONDS_A_LINE;
    progress->done = done < progress->total ? done : progress->total;
    snprintf(progress->detail, sizeof progress->detail, "%s", detail);
    if (!progress->output->quiet && now - progress->shown >= pause) show(progress, now);
}

void peft_progress_parts(peft_progress *progress, const char *const *parts, size_t num_parts)
{
    progress->parts = parts;
    progress->num_parts = num_parts;
}

void peft_progress_finish(peft_progress *progress, double now)
{
    bool line_stands = !progress->output->terminal && progress->shown_done == progress->done;
    if (progress->output->quiet || line_stands) return;
    progress->num_parts = 0;
    show(progress, now);
    if (!progress->output->open_lines) return;
    putc('\n', progress->output->messages);
    progress->output->open_lines = 0;
}
