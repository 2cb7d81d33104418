"""Which part of a response is the program: fences of every form, several blocks, and the beginning that the
problem gives.
"""

import pytest

from pipelines.rewards.code.program_text import extract_program

# texts in which f adds one, and what the problem gives
FUNCTIONS = [
    ('```python\ndef f(x):\n    return x+1\n```', ''),
    ('```python\r\r\ndef f(x):\r\n    return x+1\r\n```\r\r\n', ''),
    ('````python\ndef f(x):\n    return x+1\n````', ''),
    ('~~~\ndef f(x):\n    return x+1\n~~~', ''),
    ('1. Do:\n   ```python\n   def f(x):\n       return x+1\n   ```\n2. Done', ''),
    ('```python\ndef f(x):\n    return x+1\n', ''),
    ('```python\ndef f(x):\n    return x+1```', ''),
    ('```python\ndef f(x):\n    return x+1\n```<|im_end|>', ''),
    ('```python\ndef f(x):\n    return x+1```<|eot_id|>\n', ''),
    ('```python\ndef f(x):\n    return x+1\n<|im_end|>', ''),
    ('```\ndef f(x):\n    return x+1\n```\nOutput:\n```\n2\n```', ''),
    ('```python\ndef f(x):\n    return x+1\n```\nUsage:\n```python\nprint(f(1))\n```', ''),
    ('```python\ndef f(x):\n    return x+1\n```\nUsage:\n```python\n>>> f(1)\n2\n```', ''),
    ('```py\ndef f(x):\n    return x\n```\nfix\n```Python3\ndef f(x):\n    return x+1\n```', ''),
    ('```python\nimport math\nK=1\n```\nthen\n```python\ndef f(x):\n    return x+h()*K\n```\nand\n```python\ndef h(): return 1\n```', ''),
    ('Here is it:\n\ndef f(x):\n    return x+1\n\nThis adds one to x.', ''),
    ('The code: ```python\ndef f(x):\n    return x+1\n```', ''),
    ('> ```python\n> def f(x):\n>     return x+1\n> ```', ''),
    ('```def f(x):\n    return x+1\n```', ''),
    ('```python def f(x):\n    return x+1\n```', ''),
    ('```f = lambda x: x+1```', ''),
    ('```python f = lambda x: x+1```', ''),
    ("```python\ndef f(x):\n    '''doc\n    ```\n    f(1)\n    ```\n    '''\n    return x+1\n```\ntext", ''),
    ('<think>\n```python\ndef f(x): return 0\n```\n</think>\ndef f(x):\n    return x+1\n', ''),
    ('<answer>\ndef f(x):\n    return x+1\n</answer>', ''),
    ('\ufeffdef f(x):\n    return x+1\n', ''),
    ('```python title="a.py"\ndef f(x):\n    return x+1\n```', ''),
    ('```{.python}\ndef f(x):\n    return x+1\n```', ''),
    ('```python 3\ndef f(x):\n    return x+1\n```', ''),
    ('```bash\npip install x\n```\n```\ndef f(x):\n    return x+1\n```\n```json\n{}\n```', ''),
    ('def f(x: List[int]) -> int:\n    return x+1\n', 'from typing import List\n\ndef f(x: List[int]) -> int:\n    """doc"""\n'),
    ('    return x+1\n', 'def f(x):\n'),
    ('```python\n    return x+1\n```', 'def f(x):\n'),
    ('def f(x):\n    return h(x)\n', "def h(x):\n    return x+1\n\ndef f(x):\n    '''d'''\n"),
    ('```python\ndef f(x):\n    return x+1\n```\nThe complexity of `f` is O(1).\n\n```\nf(1) -> 2\n```', ''),
    ('```python\ndef f(x):\n    return x+1\n```\n```\nresult: 2\n```', ''),
    ('- item\n  ```python\n  def f(x):\n      return x+1\n  ```', ''),
    ("````markdown\n# Answer\n```python\ndef f(x):\n    return x+1\n```\n````", ""),
    ("[PYTHON]\ndef f(x):\n    return x+1\n[/PYTHON]", ""),
    ("[BEGIN]\ndef f(x):\n    return x+1\n[DONE]\nmore", ""),
    ("<code>\ndef f(x):\n    return x+1\n</code>", ""),
    ("python\ndef f(x):\n    return x+1\n", ""),
    ("```python\ndef f(x):\n    return x+1\n``` \nThat is `f`: ```x``` is one.", ""),
]  # fmt: skip
# whole programs: (text, the program, whether the tests give some input)
WHOLE = [
    ('```python\nprint(1)\n```\n```\n1\n```', 'print(1)', False),
    ('```python\nprint(1)\n```\n```text\n1\n```', 'print(1)', False),
    ('```python\nprint(1)\n```\n```python\n1\n```', 'print(1)', False),
    ('```python\nprint(0)\n```\nfix\n```python\nprint(1)\n```', 'print(1)', False),
    ("```python\nn=int(input())\nprint(n)\n```\ntest\n```python\nprint('demo')\n```", 'n=int(input())\nprint(n)', True),
    ('```python\ndef g(n): return n\n```\nmain\n```python\nprint(g(int(input())))\n```', 'def g(n): return n\n\nprint(g(int(input())))', True),
    ('```python\ndef g(n): return n\nprint(g(int(input())))\n```\nusage\n```python\nprint(g(3))\n```', 'def g(n): return n\nprint(g(int(input())))', False),
    ('print(1)', 'print(1)', False),
    ('x\n```python\nprint(1)\n\n', 'print(1)', False),
    ('```json\n{}\n```', '```json\n{}\n```', False),
    ('    print(1)', '    print(1)', False),
    ("The program:\n\nn = int(input())\nprint(n)\n\nIt reads n.", "n = int(input())\nprint(n)", True),
    ("print(1)\nThis prints one.", "print(1)", False),
    ("I cannot do that.", "I cannot do that.", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "starter"), FUNCTIONS)
def test_the_function_that_is_asked_for(text, starter):
    space = {}
    exec(compile(extract_program(text, starter, "f"), "program.py", "exec"), space)
    assert space["f"](1) == 2


@pytest.mark.parametrize(("text", "program", "reads"), WHOLE)
def test_whole_programs(text, program, reads):
    assert extract_program(text, reads=reads).strip() == program.strip()


def test_a_broken_last_version_is_the_answer():
    """Neither of two versions is tried to see which passes."""
    text = "```python\ndef f(x):\n    return x+1\n```\nBetter:\n```python\ndef f(x:\n    return x+1\n```"
    with pytest.raises(SyntaxError):
        compile(extract_program(text, "", "f"), "program.py", "exec")


def test_a_starter_with_code_of_the_future_stays_first():
    found = extract_program(
        "from __future__ import annotations\ndef f(x: A):\n    return x+1\n", "import math\ndef f(x):\n", "f"
    )
    compile(found, "program.py", "exec")
