package aqueduct.event;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** JSON pointers (RFC 6901) as a tree, each with a slot, so that one pass over an event fills all slots. */
public final class Pointers {
  static final class Node {
    final Map<String, Node> children = new HashMap<>();
    final int number;
    int[] ends = {};
    boolean hasIndex;

    Node(int number) {
      this.number = number;
    }
  }

  private final Map<String, Integer> slots = new HashMap<>();
  private final Node root = new Node(0);
  private int nodes = 1;

  /** The slot of a pointer, which {@link #problem} accepts. */
  public int slot(String pointer) {
    return slots.computeIfAbsent(pointer, this::insert);
  }

  private int insert(String pointer) {
    Node node = root;
    for (String name : names(pointer)) {
      Node parent = node;
      node = parent.children.computeIfAbsent(name, n -> new Node(nodes++));
      parent.hasIndex |= !name.isEmpty() && name.chars().allMatch(c -> c >= '0' && c <= '9');
    }
    node.ends = Arrays.copyOf(node.ends, node.ends.length + 1);
    node.ends[node.ends.length - 1] = slots.size();
    return slots.size();
  }

  private static List<String> names(String pointer) {
    List<String> names = new ArrayList<>();
    for (String name : pointer.substring(1).split("/", -1)) {
      names.add(name.replace("~1", "/").replace("~0", "~"));
    }
    return names;
  }

  /** Why a text of the configuration is not a pointer to one field; null if it is. */
  public static String problem(String text) {
    if (!text.startsWith("/")) {
      return "invalid JSON pointer \"" + text + "\"; write a \"/\" before each name, such as \"/user_id\"";
    }
    if (text.replace("~0", "").replace("~1", "").contains("~")) {
      return "\"" + text + "\" has a stray \"~\"; write \"~0\" for a \"~\" and \"~1\" for a \"/\" inside a name";
    }
    boolean hasStar = Arrays.asList(text.substring(1).split("/", -1)).contains("*");
    return hasStar ? "\"" + text + "\" has a \"*\", which is not allowed here; write the name or index" : null;
  }

  Node root() {
    return root;
  }

  int nodes() {
    return nodes;
  }

  int size() {
    return slots.size();
  }
}
