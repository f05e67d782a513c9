package aqueduct.config;

import aqueduct.count.Doubles;
import aqueduct.count.Flow.Match;
import aqueduct.count.Flow.Term;
import aqueduct.event.Decimal;
import aqueduct.event.Pointers;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.tomlj.TomlArray;

/** {@code views = { "/type" = "view" }}: all pairs must match, a list means any of. */
final class Matches {
  static final String NOTHING = "is empty; name at least one pair such as \"/type\" = \"view\", or remove it";

  private Matches() {}

  /** A match, without terms if it is empty; null if there is none. */
  static Match read(Section parent, String key) {
    Section section = parent.table(key, "a table of conditions such as { \"/type\" = \"view\" }");
    if (section == null) {
      return null;
    }
    List<Term> terms = new ArrayList<>();
    for (String subject : section.keys()) {
      boolean isTopic = subject.equals("topic");
      String problem = isTopic ? null : Pointers.problem(subject);
      if (problem != null) {
        section.error(subject, problem);
        continue;
      }
      Term term = new Term(isTopic ? null : subject, new HashSet<>(), new HashSet<>(), new HashSet<>());
      if (scalars(section, subject, term)) {
        terms.add(term);
      }
    }
    return new Match(terms);
  }

  private static boolean scalars(Section section, String subject, Term term) {
    Object value = section.value(subject);
    if (!(value instanceof TomlArray list)) {
      return scalar(section, subject, value, term, "a string, a number, true, false, or a list of them");
    }
    if (list.isEmpty()) {
      section.error(subject, "an empty list matches nothing; name at least one value");
      return false;
    }
    for (int n = 0; n < list.size(); n++) {
      if (!scalar(section, subject, list.get(n), term, "a list of strings, numbers, true and false")) {
        return false;
      }
    }
    return true;
  }

  private static boolean scalar(Section section, String subject, Object value, Term term, String expected) {
    if (term.pointer() == null && !(value instanceof String)) {
      section.error(subject, "expected the name of a topic in quotes");
      return false;
    }
    if (value instanceof String text) {
      String expanded = section.expand(subject, text);
      return expanded != null && term.texts().add(expanded) | true;
    }
    if (value instanceof Boolean bool) {
      return term.bools().add(bool.toString()) | true;
    }
    if (value instanceof Long number) {
      return term.numbers().add(Decimal.parse(number.toString())) | true;
    }
    if (value instanceof Double number) {
      if (!Double.isFinite(number)) {
        section.error(subject, "infinity and NaN equal no JSON number; write a finite number");
        return false;
      }
      return term.numbers().add(Decimal.parse(Doubles.shortest(number).toString())) | true;
    }
    section.error(subject, "expected " + expected);
    return false;
  }

  /** A match of a flow, which needs a term; null if there is none. */
  static Match required(Section section, String key, Match match, Set<String> failed) {
    if (match != null && match.terms().isEmpty()) {
      section.error(key, NOTHING);
      failed.add(key);
      return null;
    }
    return match;
  }
}
