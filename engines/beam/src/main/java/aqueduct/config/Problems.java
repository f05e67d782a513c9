package aqueduct.config;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/** The errors of a configuration, each with file, line and key. */
public final class Problems {
  /** What is wrong at a key; the line is 0 if it concerns the whole file. */
  public record Problem(int line, String key, String text) {}

  /** A configuration that cannot be used. */
  public static final class Invalid extends Exception {
    public final List<Problem> problems;

    Invalid(String file, List<Problem> problems) {
      super(String.join("\n", problems.stream().map(problem -> line(file, problem)).toList()));
      this.problems = problems;
    }

    private static String line(String file, Problem problem) {
      return file + (problem.line > 0 ? ":" + problem.line : "") + ": " + problem.text;
    }
  }

  private final String file;
  private final List<Problem> problems = new ArrayList<>();

  Problems(String file) {
    this.file = file;
  }

  /** An error in the value of a key. */
  void at(int line, String key, String text) {
    add(line, key, key + ": " + text);
  }

  void add(int line, String key, String text) {
    problems.add(new Problem(line, key, text));
  }

  boolean isEmpty() {
    return problems.isEmpty();
  }

  int size() {
    return problems.size();
  }

  /** Ends the reading if there was an error: what follows would be judged by incomplete settings. */
  void check() throws Invalid {
    if (!problems.isEmpty()) {
      throw new Invalid(file, List.copyOf(problems));
    }
  }

  /** The most similar known name, or the known names. */
  static String hint(String name, Collection<String> known, String what) {
    String lower = name.toLowerCase(java.util.Locale.ROOT).replace('-', '_');
    String nearest = null;
    int least = Math.max(1, lower.codePointCount(0, lower.length()) / 3) + 1;
    for (String other : known) {
      int distance = distance(lower, other);
      if (distance < least) {
        least = distance;
        nearest = other;
      }
    }
    return nearest != null ? "did you mean " + nearest + "?" : "known " + what + ": " + String.join(", ", known);
  }

  /** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
  static int distance(String a, String b) {
    int[][] cost = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          cost[i][j] = i + j;
          continue;
        }
        int same = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        cost[i][j] = Math.min(cost[i - 1][j - 1] + same, Math.min(cost[i - 1][j], cost[i][j - 1]) + 1);
        if (i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1)) {
          cost[i][j] = Math.min(cost[i][j], cost[i - 2][j - 2] + 1);
        }
      }
    }
    return cost[a.length()][b.length()];
  }
}
