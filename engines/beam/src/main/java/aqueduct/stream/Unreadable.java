package aqueduct.stream;

/** Something that must not be acknowledged: the text says what to do before the pipeline is started again. */
public final class Unreadable extends Exception {
  private static final long serialVersionUID = 1;

  public Unreadable(String text) {
    super(text);
  }
}
