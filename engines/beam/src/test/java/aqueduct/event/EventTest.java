package aqueduct.event;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EventTest {
  private static String pick(byte[] payload, String pointer) throws Json.Bad {
    Pointers pointers = new Pointers();
    int slot = pointers.slot(pointer);
    Value value = Json.pick(payload, pointers)[slot];
    return value.scalar() != null ? value.kind() + " " + value.scalar() : value.kind().toString();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
      "{\"a\":1.50}                       | /a     | NUMBER 1.50",
      "{\"a\":\"x\",\"a\":\"y\"}          | /a     | TEXT x",
      "{\"\\u0061\":\"\\ud83d\\ude00\\/\"} | /a    | TEXT 😀/",
      "{\"a\":{\"b\":[1,[2,true]]}}       | /a/b/1/1 | BOOL true",
      "{\"a\":{\"b\":[1]}}                | /a/b/01 | MISSING",
      "{\"a\":{\"b\":1}}                  | /a     | OBJECT",
      "{\"a\":5}                          | /a/b   | MISSING",
      "{\"a/b\":{\"~\":null}}             | /a~1b/~0 | NULL",
      "\uFEFF {\"\":\"e\"}                | /      | TEXT e",
  })
  void pointersLeadToValues(String payload, String pointer, String expected) throws Json.Bad {
    assertEquals(expected.replace("`", ""), pick(bytes(payload), pointer));
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
      "[1]|not-an-object", "1 2|trailing-data", "{\"a\":1}x|trailing-data", "{\"a\":01}|not-json", "{\"a\":1,}|not-json",
      "{\"a\":\"\\ud83d\"}|lone-surrogate", "{\"a\":\"\\ude00\"}|lone-surrogate", "{\"a\":\"\\ud83d\\u0061\"}|lone-surrogate",
      "{\"a\":\"\\x\"}|not-json", "{\"a\":\"|not-json", "{|not-json", "{\"a\":.5}|not-json", "{\"a\":nul}|not-json",
      "{\"a\":\"\\u00g0\"}|not-json", "`{\"a\":\"\t\"}`|not-json", "{\"a\" 1}|not-json", "{\"a\":+1}|not-json",
  })
  void badTextsHaveACode(String payload, String code) {
    Json.Bad bad = assertThrows(Json.Bad.class, () -> pick(bytes(payload), "/b"));
    assertEquals(code, bad.getMessage());
  }

  @ParameterizedTest
  @CsvSource({"127, ", "128, too-deep"})
  void nestingHasALimit(int levels, String code) throws Json.Bad {
    byte[] payload = bytes("{\"a\":" + "[".repeat(levels) + "]".repeat(levels) + "}");
    if (code == null) {
      assertEquals("ARRAY", pick(payload, "/a"));
    } else {
      assertEquals(code, assertThrows(Json.Bad.class, () -> pick(payload, "/a")).getMessage());
    }
  }

  @ParameterizedTest
  @CsvSource({"c328", "eda080", "c0af", "ff"})
  void invalidUtf8IsRefused(String hex) {
    byte[] inner = java.util.HexFormat.of().parseHex(hex);
    byte[] payload = new byte[inner.length + 9];
    System.arraycopy(bytes("{\"a\":\""), 0, payload, 0, 6);
    System.arraycopy(inner, 0, payload, 6, inner.length);
    System.arraycopy(bytes("\"} "), 0, payload, 6 + inner.length, 3);
    assertEquals("invalid-utf8", assertThrows(Json.Bad.class, () -> pick(payload, "/a")).getMessage());
  }

  @ParameterizedTest
  @CsvSource({"1, 1.0, true", "1, 10e-1, true", "-0, 0e5, true", "1234567890123456789, 1234567890123456790, false",
      "0.1, 0.100000000000000001, false", "1e400, 10E+399, true", "-0.5, 0.5, false"})
  void numbersAreEqualByTheirValue(String one, String other, boolean equal) {
    assertEquals(equal, Decimal.parse(one).equals(Decimal.parse(other)));
  }

  @ParameterizedTest
  @CsvSource({"0, 0", "-0.0, 0", "1.500, 1.5", "-12e3, -12000", "1e-9, 0.000000001", "-1e-9, -0.000000001", "1e29, ",
      "0.0000000001, ", "1e400, ", "99999999999999999999999999999.999999999, 99999999999999999999999999999.999999999",
      "1e99999999999999999999, "})
  void onlyWhatFitsIsAnAmount(String number, String expected) {
    var billionths = Decimal.billionths(number);
    assertEquals(expected, billionths == null ? null : Decimal.text(billionths));
  }

  @ParameterizedTest
  @CsvSource({"1e3, 1000", "-0.5, -1", "0.5, 0", "1e400, 9223372036854775807", "-1e400, -9223372036854775808",
      "1e-400, 0", "-1e-400, -1", "12.99, 12"})
  void floorsAreTowardsThePast(String number, long expected) {
    assertEquals(expected, Decimal.parse(number).floor());
  }

  @ParameterizedTest
  @CsvSource({"2026-11-01T12:00:00.250Z, 1793534400250", "2026-11-01T12:00:00Z, 1793534400000",
      "2026-11-01t12:00:00.2509z, 1793534400250", "2026-11-01 13:00+01, 1793534400000", "2026-11-01T12Z, 1793534400000",
      "'2026-11-01T12:00:00,25-0000', 1793534400250", "2026-11-01T13:00:00+01:00[Europe/Berlin], 1793534400000",
      "2024-02-29T00:00:00Z, 1709164800000", "1969-12-31T23:59:59.999Z, -1", "2016-12-31T23:59:60Z, 1483228799000"})
  void timesAreRead(String text, long millis) {
    assertEquals(millis, Times.parse(text));
  }

  @ParameterizedTest
  @CsvSource({"2026-11-01T12:00:00", "2026-11-01", "2023-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-01T24:00:00Z",
      "2026-11-01T12:60:00Z", "9999-12-31T23:59:59Z", "12:00Z", "2026-11-01T12:00:00+26", "2026-11-01T12:00:00 Z"})
  void otherTextsAreNoTimes(String text) {
    assertNull(Times.parse(text));
  }

  @ParameterizedTest
  @CsvSource({"0, 1970-01-01T00:00:00.000Z", "-1, 1969-12-31T23:59:59.999Z",
      "9223372036854775807, 9999-12-31T23:59:59.999Z", "-9223372036854775808, 0001-01-01T00:00:00.000Z"})
  void timesAreWrittenWithinWhatTablesHold(long time, String text) {
    assertEquals(text, Times.text(time));
  }
}
