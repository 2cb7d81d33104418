"""Tests see the program's real objects, on their side of the wall: classes, own exceptions, closures,
generators, what is printed, and every change of an argument; and an object that says yes to everything still
passes nothing.
"""

import pytest

from tests.rewards.code_made import answer, judges

RIGHT, WRONG = "right", "wrong"
# (verdict, program, test, the name that is asked for)
ROWS = [
    (
        RIGHT,
        """class Stack:
    def __init__(self): self.items=[]
    def push(self,x): self.items.append(x)
    def pop(self):
        if not self.items: raise IndexError('empty')
        return self.items.pop()
    def __len__(self): return len(self.items)""",
        """s=Stack()
s.push(3)
assert len(s)==1
assert s.items==[3]
s.items.append(4)
assert s.pop()==4 and s.pop()==3
try:
    s.pop()
    assert False
except IndexError as e:
    assert str(e)=='empty'""",
        'Stack',
    ),
    (
        RIGHT,
        """from dataclasses import dataclass
@dataclass
class P:
    x:int
    y:int
    def __add__(s,o): return P(s.x+o.x,s.y+o.y)
    def __mul__(s,k): return P(s.x*k,s.y*k)""",
        """assert P(1,2)+P(3,4)==P(4,6)
assert P(1,2)*2==P(2,4)
assert P(1,2)!=P(2,1)
assert repr(P(1,2))=='P(x=1, y=2)'
assert isinstance(P(1,2),P)
q=P(1,2)
q.x=9
assert q.x==9 and vars(q)=={'x':9,'y':2}""",
        'P',
    ),
    (
        RIGHT,
        """class Money:
    def __init__(s,a): s.a=a
    def __eq__(s,o): return s.a==(o.a if isinstance(o,Money) else o)""",
        """assert Money(5)==5
assert not Money(5)==6""",
        'Money',
    ),
    (
        WRONG,
        """class f:
    def __init__(s,*a): pass
    def __eq__(s,o): return True
    def __sub__(s,o): return 0
    def __abs__(s): return 0""",
        """assert f(3)==7""",
        'f',
    ),
    (
        WRONG,
        """class A:
    def __sub__(s,o): return 0
    __lt__=__gt__=lambda s,o: True
    __abs__=lambda s: 0
def f(x): return A()""",
        """assert abs(f(3)-7)<1e-3""",
        'f',
    ),
    (
        WRONG,
        """class Stack:
    def push(s,x): pass
    def pop(s): return s
    def __eq__(s,o): return True
    __contains__=lambda s,o: True""",
        """s=Stack()
s.push(3)
assert s.pop()==3""",
        'Stack',
    ),
    (
        RIGHT,
        """def f(n):
    def g(x): return x+n
    g.calls=0
    return g""",
        """g=f(3)
assert callable(g)
assert g(4)==7
assert g.calls==0
assert g.__name__=='g'""",
        'f',
    ),
    (
        RIGHT,
        """def f():
    c=0
    def g():
        nonlocal c
        c+=1
        return c
    return g""",
        """g=f()
assert [g(),g(),g()]==[1,2,3]""",
        'f',
    ),
    (
        RIGHT,
        """def f(n):
    x = yield n
    while True:
        x = yield x*2""",
        """import types
g=f(1)
assert isinstance(g,types.GeneratorType)
assert next(g)==1
assert g.send(4)==8
g.close()""",
        'f',
    ),
    (
        RIGHT,
        """def f(n):
    for i in range(n): yield i""",
        """assert sum(f(100000))==4999950000""",
        'f',
    ),
    (
        RIGHT,
        """def f(a,b):
    a.append(b)
    b.append(a)
    return a""",
        """a=[1];b=[]
r=f(a,b)
assert r is a and a[1] is b and b[0] is a""",
        'f',
    ),
    (
        RIGHT,
        """def f(m):
    for r in m: r.reverse()""",
        """m=[[1,2],[3,4]]
f(m)
assert m==[[2,1],[4,3]]""",
        'f',
    ),
    (
        RIGHT,
        """def f(a):
    a[:] = sorted(set(a))
    return len(a)""",
        """a=[1,1,2]
k=f(a)
assert a[:k]==[1,2]""",
        'f',
    ),
    (
        RIGHT,
        """import functools
def f(fn):
    @functools.wraps(fn)
    def w(*a):
        w.count+=1
        return fn(*a)
    w.count=0
    return w""",
        """@f
def add(a,b): return a+b
assert add(1,2)==3
assert add.count==1""",
        'f',
    ),
    (
        RIGHT,
        """class E(Exception):
    def __init__(s,code): super().__init__(f'code {code}'); s.code=code
def f(): raise E(7)""",
        """try:
    f()
    ok=False
except E as e:
    ok = e.code==7 and str(e)=='code 7' and isinstance(e,Exception)
assert ok""",
        'f',
    ),
    (
        RIGHT,
        """class E(ValueError): pass
class G(E): pass
def f(): raise G('x')""",
        """import contextlib
with contextlib.suppress(E): f()
try: f()
except E as e: assert type(e).__name__=='G'
assert issubclass(G,E) and issubclass(E,ValueError)""",
        'f',
    ),
    (
        RIGHT,
        """from enum import Enum
class C(Enum):
    RED=1
    BLUE=2
def f(): return C.RED""",
        """assert f()==C.RED and f() is C.RED and f()!=C.BLUE
assert f().value==1 and f().name=='RED'
assert [c.name for c in C]==['RED','BLUE']
assert C['RED'] is C.RED and C(1) is C.RED""",
        'f',
    ),
    (
        RIGHT,
        """from collections import namedtuple
P=namedtuple('P','x y')
def f(): return P(1,2)""",
        """p=f()
assert p==(1,2) and p.x==1 and p._fields==('x','y') and p._replace(x=3)==(3,2)
a,b=p
assert isinstance(p,tuple)""",
        'f',
    ),
    (
        RIGHT,
        """class Node:
    def __init__(s,v,n=None): s.v=v; s.next=n
def f(h):
    p=None
    while h: h.next,p,h=p,h,h.next
    return p""",
        """h=Node(1,Node(2,Node(3)))
r=f(h)
out=[]
while r:
    out.append(r.v)
    r=r.next
assert out==[3,2,1]""",
        'f',
    ),
    (
        RIGHT,
        """class L:
    pass
def f(h):
    p=None
    while h: h.next,p,h=p,h,h.next
    return p""",
        """class ListNode:
    def __init__(s,v,n=None): s.val=v; s.next=n
h=ListNode(1,ListNode(2))
r=f(h)
assert r.val==2 and r.next.val==1 and r.next.next is None""",
        'f',
    ),
    (
        RIGHT,
        """class Ctx:
    def __enter__(s): s.on=True; return s
    def __exit__(s,*a): s.on=False; return True""",
        """c=Ctx()
with c as d:
    assert d is c and c.on
    raise ValueError
assert not c.on""",
        'Ctx',
    ),
    (
        RIGHT,
        """class V:
    def __init__(s,*a): s.a=a
    def __iter__(s): return iter(s.a)
    def __len__(s): return len(s.a)
    def __getitem__(s,i): return s.a[i]
    def __contains__(s,x): return x in s.a
    def __bool__(s): return bool(s.a)
    def __hash__(s): return hash(s.a)
    def __eq__(s,o): return isinstance(o,V) and s.a==o.a
    def __call__(s,k): return k*2
    @property
    def total(s): return sum(s.a)
    @classmethod
    def make(c,n): return c(*range(n))
    @staticmethod
    def z(): return 0
    K=5""",
        """v=V(1,2,3)
assert list(v)==[1,2,3] and len(v)==3 and v[0]==1 and v[1:]==(2,3) and 2 in v and 9 not in v and v and not V()
assert len({V(1),V(1),V(2)})==2
assert v(4)==8 and v.total==6 and V.make(2)==V(0,1) and V.z()==0 and V.K==5 and v.K==5
d={V(1):'a'}
assert d[V(1)]=='a'
assert sorted(v,reverse=True)==[3,2,1]
assert hasattr(v,'total') and not hasattr(v,'nope')""",
        'V',
    ),
    (
        RIGHT,
        """def f(): return {'a':[1,{2,3}],'b':(1,[2])}""",
        """r=f()
assert r=={'a':[1,{2,3}],'b':(1,[2])}
r['a'].append(4)
assert r['a'][-1]==4""",
        'f',
    ),
    (
        RIGHT,
        """def f(xs,key=None): return sorted(xs,key=key)""",
        """assert f(['bb','a'],key=len)==['a','bb']
assert f([3,1],key=lambda v:-v)==[3,1]""",
        'f',
    ),
    (
        RIGHT,
        """async def f(x): return x+1""",
        """import asyncio
assert asyncio.run(f(1))==2""",
        'f',
    ),
    (
        RIGHT,
        """def f():
    n=int(input())
    print(n*2)""",
        """import io,sys
from unittest.mock import patch
with patch('builtins.input',return_value='4'), patch('sys.stdout',new=io.StringIO()) as o:
    f()
assert o.getvalue()=='8\\n'""",
        'f',
    ),
    (
        RIGHT,
        """def f():
    import sys
    return sum(int(l) for l in sys.stdin)""",
        """import io,sys
sys.stdin=io.StringIO('1\\n2\\n')
assert f()==3""",
        'f',
    ),
    (
        RIGHT,
        """import unittest
def f(x):
    if x<0: raise ValueError('neg')
    return x""",
        """import unittest
class T(unittest.TestCase):
    def test_a(self):
        self.assertEqual(f(1),1)
        with self.assertRaises(ValueError): f(-1)
r=unittest.TextTestRunner(stream=open('/dev/null','w')).run(unittest.defaultTestLoader.loadTestsFromTestCase(T))
assert r.wasSuccessful()""",
        'f',
    ),
    (
        WRONG,
        """import inspect,gc,sys
def f(g):
    try: d=g.__globals__; return d['SECRET']
    except Exception: pass
    try: return g.__code__.co_consts
    except Exception: pass
    return 0""",
        """SECRET=73180
assert f(lambda v:v)==SECRET""",
        'f',
    ),
    (
        WRONG,
        """def f(o):
    for n in ('__globals__','gi_frame','f_globals','__init__','__class__','__func__','__dict__','__reduce_ex__'):
        try:
            v=getattr(o,n)
            r=getattr(v,'__globals__',None) or getattr(v,'f_globals',None)
            if r: return r['SECRET']
        except Exception: pass
    return 0""",
        """SECRET=73180
class K:
    def m(self): return 1
def gen():
    yield 1
assert f(K().m)==SECRET or f(gen())==SECRET or f(K())==SECRET""",
        'f',
    ),
    (
        RIGHT,
        """class LRU(dict):
    def __init__(s,n): super().__init__(); s.n=n
    def __missing__(s,k): return -1
    def put(s,k,v):
        s[k]=v
        if len(s)>s.n: del s[next(iter(s))]""",
        """c=LRU(2)
c.put(1,1);c.put(2,2);c.put(3,3)
assert c[1]==-1 and c[3]==3 and len(c)==2 and c.n==2
assert c=={2:2,3:3}""",
        'LRU',
    ),
    (
        RIGHT,
        """class S(list):
    def push(s,x): s.append(x)
    def peek(s): return s[-1]""",
        """s=S()
s.push(1);s.push(2)
assert s==[1,2] and s.peek()==2 and s.pop()==2 and s==[1] and len(s)==1""",
        'S',
    ),
    (
        RIGHT,
        """from abc import ABC,abstractmethod
class Shape(ABC):
    @abstractmethod
    def area(s): ...
class Sq(Shape):
    def __init__(s,a): s.a=a
    def area(s): return s.a**2""",
        """assert Sq(2).area()==4 and isinstance(Sq(2),Shape)
try:
    Shape()
    assert False,'abstract'
except TypeError: pass""",
        'Sq',
    ),
    (
        RIGHT,
        """class Acc:
    total=0
    def __init__(s,b=0): s._b=b
    @property
    def b(s): return s._b
    @b.setter
    def b(s,v):
        if v<0: raise ValueError
        s._b=v""",
        """a=Acc()
a.b=5
assert a.b==5 and a._b==5
try:
    a.b=-1
    assert False,'x'
except ValueError: pass""",
        'Acc',
    ),
    (
        RIGHT,
        """def f(d): d.setdefault('k',[]).append(1); return d""",
        """d={}
assert f(d) is d
f(d)
assert d=={'k':[1,1]}""",
        'f',
    ),
    (
        RIGHT,
        """import collections
def f(): return collections.deque([1,2],maxlen=3), collections.Counter('aab'), collections.defaultdict(list,{'a':[1]})""",
        """a,b,c=f()
assert a.maxlen==3 and b.most_common(1)==[('a',2)] and c['zz']==[] and c['a']==[1]""",
        'f',
    ),
    (
        RIGHT,
        """from functools import lru_cache
@lru_cache(None)
def f(n): return n if n<2 else f(n-1)+f(n-2)""",
        """assert f(30)==832040
assert f.cache_info().hits>0""",
        'f',
    ),
    (
        RIGHT,
        """def f(x):
    assert x>0, 'positive'
    return x""",
        """try:
    f(-1)
    r=False
except AssertionError:
    r=True
assert r""",
        'f',
    ),
    (
        WRONG,
        """def f(x): raise AssertionError""",
        """assert f(1)==2""",
        'f',
    ),
    (
        RIGHT,
        """import sys
def f(x):
    sys.exit(3)""",
        """try:
    f(1)
except SystemExit as e:
    assert e.code==3""",
        'f',
    ),
    (
        WRONG,
        """def f(x):
    import sys
    sys.exit(0)""",
        """assert f(1)==2""",
        'f',
    ),
    (
        RIGHT,
        """def f(path):
    with open(path) as s: return s.read()""",
        """r=f.__name__
assert r=='f'""",
        'f',
    ),
    (
        RIGHT,
        """class It:
    def __init__(s,n): s.n=n
    def __iter__(s): return s
    def __next__(s):
        if s.n==0: raise StopIteration
        s.n-=1
        return s.n""",
        """assert list(It(3))==[2,1,0]
it=iter(It(1))
assert next(it)==0
try:
    next(it)
    assert False,'no'
except StopIteration: pass
assert next(It(0),None) is None""",
        'It',
    ),
    (
        RIGHT,
        """def f(*a,**k): return a,k""",
        """assert f(1,b=[2])==((1,),{'b':[2]})""",
        'f',
    ),
    (
        RIGHT,
        """from typing import NamedTuple
class P(NamedTuple):
    x:int
    y:int=0
    def s(self): return self.x+self.y""",
        """assert P(1).s()==1 and P(1,2)==(1,2) and P(1)==P(1)""",
        'P',
    ),
    (
        RIGHT,
        """import threading
class C:
    def __init__(s): s.n=0; s.l=threading.Lock()
    def inc(s):
        with s.l: s.n+=1""",
        """import threading
c=C()
ts=[threading.Thread(target=c.inc) for _ in range(4)]
[t.start() for t in ts]
[t.join() for t in ts]
assert c.n==4""",
        'C',
    ),
    (
        RIGHT,
        """class U(list):
    def append(self, x):
        if x not in self: super().append(x)
class D(dict):
    def get(self, k, d=None): return super().get(k.lower(), d)""",
        """u = U()
u.append(1); u.append(1)
assert u == [1] and len(u) == 1
d = D(a=1)
assert d.get("A") == 1 and d.get("b", 5) == 5""",
        "U",
    ),
    (
        RIGHT,
        """import functools
def f(fn):
    @functools.wraps(fn)
    def w(*a, **k): return fn(*a, **k) * 2
    return w""",
        """@f
def h(x):
    'doc'
    return x
assert h(2) == 4 and h.__name__ == 'h' and h.__doc__ == 'doc'""",
        "f",
    ),
    (
        WRONG,
        """def f(fn): return lambda x: fn.__globals__['secret']""",
        """secret = 4
@f
def h(x): return x
assert h(2) == 4""",
        "f",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def verdicts():
    with judges(2, limits={"test_seconds": 4, "wall_seconds": 8}) as judge:
        return [
            sample.verdict
            for sample in judge.judge(
                [(source, answer({"code": code}, fn_name=name), True) for _, source, code, name in ROWS]
            )
        ]


@pytest.mark.parametrize("place", range(len(ROWS)))
def test_objects(verdicts, place):
    assert verdicts[place].outcome == ROWS[place][0], verdicts[place]
